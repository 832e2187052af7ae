"""Additive attention, shared by the recurrent decoders."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from captioning.errors import UserError
from captioning.layers.linear import Linear
from captioning.layers.masking import masked_softmax


class AdditiveAttention(nn.Module):
    """score(h, v) = w . tanh(W_h h + W_v v), as in Bahdanau et al. 2015 (arXiv:1409.0473); or with a ReLU for the tanh.

    The keys W_v v do not depend on words, so they are computed once per image, by `keys`.
    """

    def __init__(self, token_width: int, query_width: int, width: int, activation: Literal["tanh", "relu"] = "tanh"):
        super().__init__()
        if activation not in ("tanh", "relu"):
            raise UserError(f"decoder.activation is {activation!r}: it is tanh or relu")
        self.activation = activation
        self.keys = Linear(token_width, width)
        self.query = Linear(query_width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)  # a shift of all scores would cancel in the softmax

    def forward(self, query: Tensor, keys: Tensor, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """query (B, R, Q), keys (B, N, A), tokens (B, N, D), mask (B, N) -> seen (B, R, D), weights (B, R, N)."""
        weights = masked_softmax(self.scores(query, keys), mask[:, None])  # (B, R, N)
        return weights @ tokens, weights

    def scores(self, query: Tensor, keys: Tensor) -> Tensor:
        """query (B, R, Q), keys (B, N, A) -> (B, R, N), before the softmax."""
        energy = keys[:, None] + self.query(query)[:, :, None]  # (B, R, N, A), by far the largest tensor
        return self.score(energy.relu_() if self.activation == "relu" else energy.tanh_()).squeeze(-1)
