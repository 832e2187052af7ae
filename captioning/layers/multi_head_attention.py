"""Multi-head attention (Vaswani et al. 2017, arXiv:1706.03762) of many rows to one image, and of words to words.

Shapes: B images, R rows, T words, L queries, N visual tokens, S slots of words, H heads, d = W / H.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captioning.layers.dropout import Dropout
from captioning.layers.key_value_cache import WordCache
from captioning.layers.linear import Linear

KeysValues = tuple[Tensor, Tensor]  # (B, H, N, d) each


def split_heads(tensor: Tensor, heads: int) -> Tensor:
    """(B, L, W) -> (B, H, L, d)."""
    return tensor.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(tensor: Tensor) -> Tensor:
    """(B, H, L, d) -> (B, L, W)."""
    return tensor.transpose(1, 2).flatten(2)


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """mask (..., N), True where real -> 0 where real, else the lowest finite number, to be added to scores.

    Finite, so that an image without a single real token has uniform attention instead of NaN.
    """
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)


class SelfAttention(nn.Module):
    """Every place attends to places of its own sequence; queries, keys and values come of one multiplication."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, output: nn.Module | None = None):
        """`output` takes the place of the linear layer after the heads."""
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.inputs = Linear(width, 3 * width)
        self.output = Linear(width, width) if output is None else output
        for part in self.inputs.weight.chunk(3):
            nn.init.xavier_uniform_(part)
        nn.init.zeros_(self.inputs.bias)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, L, W) -> queries, keys, values (B, H, L, d)."""
        return tuple(split_heads(part, self.heads) for part in self.inputs(x).chunk(3, -1))

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, **mask) -> Tensor:
        """queries (B, H, L, d), keys and values (B, H, S, d) -> (B, L, W)."""
        dropout = self.dropout if self.training else 0.0
        return self.output(
            merge_heads(F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout, **mask))
        )

    def forward(self, x: Tensor, *, bias: Tensor | None = None, causal: bool = False) -> Tensor:
        """x (B, L, W), bias broadcastable to (B, H, L, L) -> (B, L, W); `causal`: nothing sees what comes after it."""
        return self.attend(*self.project(x), attn_mask=bias, is_causal=causal)

    def step(self, x: Tensor, cache: WordCache, layer: int, bias: Tensor) -> Tensor:
        """The newest word of every row. x (B, R, W), bias (B, 1, R, S) of the slots each row sees -> (B, R, W)."""
        queries, keys, values = self.project(x)
        return self.attend(queries, *cache.append(layer, keys, values), attn_mask=bias)


def weighed(queries: Tensor, memory: KeysValues, bias: Tensor, dropout: Dropout) -> tuple[Tensor, Tensor]:
    """Attention whose weights are wanted: queries (B, H, L, d), bias (B, 1, 1, N) -> (B, L, W), and (B, L, N).

    The second is the mean over heads. `dropout` falls on the weights that are used, not on those returned.
    """
    keys, values = memory
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)  # (B, H, L, N)
    weights = (scores + bias).softmax(-1)
    return merge_heads(dropout(weights) @ values), weights.mean(1)


def unweighed(queries: Tensor, memory: KeysValues, bias: Tensor, dropout: Dropout) -> tuple[Tensor, None]:
    """What `weighed` gives, faster, without the weights."""
    rate = dropout.p if dropout.training else 0.0
    return merge_heads(F.scaled_dot_product_attention(queries, *memory, bias, dropout_p=rate)), None


class CrossAttention(nn.Module):
    """Rows of words attend to the one set of tokens of their image."""

    def __init__(
        self,
        width: int,
        heads: int,
        dropout: float = 0.0,
        output: nn.Module | None = None,
        token_width: int | None = None,
    ):
        """`output` takes the place of the linear layer after the heads; tokens have `token_width`, else `width`."""
        super().__init__()
        self.heads, self.dropout = heads, Dropout(dropout)
        self.query = Linear(width, width)
        self.keys_values = Linear(token_width or width, 2 * width)
        self.output = Linear(width, width) if output is None else output
        for part in (self.query.weight, *self.keys_values.weight.chunk(2)):
            nn.init.xavier_uniform_(part)
        nn.init.zeros_(self.query.bias)
        nn.init.zeros_(self.keys_values.bias)

    def keys_values_of(self, tokens: Tensor) -> KeysValues:
        """Once per image. tokens (B, N, W) -> keys and values (B, H, N, d), laid out for being read at every word."""
        return tuple(split_heads(part, self.heads).contiguous() for part in self.keys_values(tokens).chunk(2, -1))

    def forward(
        self, x: Tensor, memory: KeysValues, bias: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, R, W) or (B, R, T, W), bias (B, 1, 1, N) -> as x, and the attention (B, R[, T], N) if `weigh`.

        All rows and words of an image lie side by side as queries, so that its tokens are never copied.
        """
        queries = split_heads(self.query(x).flatten(1, -2), self.heads)  # (B, H, R*T, d)
        seen, attention = (weighed if need_weights else unweighed)(queries, memory, bias, self.dropout)
        return self.output(seen).view_as(x), attention if attention is None else attention.view(*x.shape[:-1], -1)
