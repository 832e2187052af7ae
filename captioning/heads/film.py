"""Answers by classification where the question modulates features of the image, layer by layer: FiLM.

Shapes: as in `captioning.heads.answers`; H x H are the cells of a grid of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.decoders.base import Context
from captioning.errors import UserError
from captioning.heads.answers import AnswerHead, QuestionWords, Tokens, last_state
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.positions import grid_side, token_centres
from captioning.memory import VisualMemory


@dataclass
class FiLMContext(Context):
    """Tokens brought to the width of the blocks, and which are real."""

    tokens: Tensor  # (B, N, W)
    mask: Tensor  # (B, N)
    places: Tensor | None  # (B, N, 2) x and y of each token, -1 to 1, where blocks see them


class FiLMAnswers(AnswerHead):
    """Residual blocks in which the question scales and shifts every channel, a pool over tokens, and two layers.

    Perez et al. 2018 (arXiv:1709.07871): x + relu(gamma * norm(W2 relu(W1 x)) + beta), gamma and beta from the last
    state of a GRU. There W2 is a convolution of 3 x 3 and the pool a maximum. With `kernel` 1 tokens are alike and may
    be regions, and what joins them is the pool alone (Zaheer et al. 2017, arXiv:1703.06114: a sum can count, a maximum
    cannot). With `feedback`, what a block found, pooled, is added to what the next one is asked, in the manner of Strub
    et al. 2018 (arXiv:1808.04446): questions about a thing that another thing points to need two looks. Batch norm is
    layer norm here, over channels: an answer does not depend on other questions. With `coordinates` every block sees x
    and y of each token beside its channels, as in the paper: what is left of what is then a sum away.

    A token's share of the attention that is handed out is that of its last activations.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        answers: int,
        embedding: int = 200,
        question_width: int = 256,
        width: int = 128,
        blocks: int = 4,
        kernel: Literal[1, 3] = 3,
        pool: Literal["max", "sum"] = "max",
        hidden: int = 256,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        token_positions: bool = True,
        feedback: bool = False,
        coordinates: bool = False,
    ):
        super().__init__()
        if kernel not in (1, 3):
            raise UserError(f"task.head.kernel={kernel}: it is 1 or 3")
        if pool not in ("max", "sum"):
            raise UserError(f"task.head.pool is {pool!r}: it is max or sum")
        if blocks < 1:
            raise UserError(f"task.head.blocks={blocks}: give 1 or more")
        self.pool, self.convolves, self.coordinates = pool, kernel == 3, coordinates
        self.words = QuestionWords(vocabulary_size, embedding, dropout, word_dropout)
        self.read = nn.GRU(embedding, question_width, batch_first=True)
        self.tokens = Tokens(visual_width, width, dropout, token_positions)
        self.modulate = nn.ModuleList(Linear(question_width, 2 * width) for _ in range(blocks))
        self.hear = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), Linear(width, question_width), nn.ReLU())
            for _ in range(blocks - 1 if feedback else 0)
        )
        self.blocks = nn.ModuleList(FiLMBlock(width, kernel, 2 * coordinates) for _ in range(blocks))
        self.last = Linear(width, hidden)
        self.joint, self.dropout = nn.LayerNorm(hidden), Dropout(dropout)
        self.classify = nn.Sequential(Linear(hidden, hidden), nn.ReLU(), Linear(hidden, answers))

    def prepare(self, memory: VisualMemory) -> FiLMContext:
        places = token_centres(memory) * 2 - 1 if self.coordinates else None
        return FiLMContext(self.tokens(memory), memory.mask, places)

    def forward(self, context: FiLMContext, words: Tensor) -> tuple[Tensor, Tensor]:
        question = last_state(self.read, self.words, words)  # (B, R, Q)
        x = context.tokens[:, None]  # (B, 1, N, W)
        for k, block in enumerate(self.blocks):
            gamma, beta = self.modulate[k](question)[:, :, None].chunk(2, -1)  # (B, R, 1, W)
            x = block(x, 1 + gamma, beta, context.mask, context.places)  # (B, R, N, W)
            if k < len(self.hear):
                question = question + self.hear[k](self.pooled(x, context.mask))
        x = self.last(x).relu()  # (B, R, N, hidden)
        joint = self.joint(self.pooled(x, context.mask))
        share = (x.detach().float().sum(-1) + 1e-6) * context.mask[:, None]
        return self.classify(self.dropout(joint)), share / share.sum(-1, keepdim=True)

    def pooled(self, x: Tensor, mask: Tensor) -> Tensor:
        """Activations x (B, R, N, W) of real tokens -> their maximum or sum (B, R, W)."""
        x = x.masked_fill(~mask[:, None, :, None], 0.0 if self.pool == "sum" else -torch.inf)
        return x.sum(2) if self.pool == "sum" else x.amax(2)


class FiLMBlock(nn.Module):
    """x + relu(gamma * norm(W2 relu(W1 x)) + beta); a first block's norm is computed once for all questions."""

    def __init__(self, width: int, kernel: int, places: int = 0):
        super().__init__()
        self.first = Linear(width + places, width)
        self.second = Linear(width, width) if kernel == 1 else nn.Conv2d(width, width, 3, 1, 1)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, x: Tensor, gamma: Tensor, beta: Tensor, mask: Tensor, places: Tensor | None = None) -> Tensor:
        """x (B, R or 1, N, W), gamma and beta (B, R, 1, W), mask (B, N), places (B, N, 2) -> (B, R, N, W)."""
        x = (self.first(x) if places is None else self.beside(x, places)).relu()
        change = self.second(x) if isinstance(self.second, nn.Linear) else self.convolve(x, mask)
        return x + (gamma * self.norm(change) + beta).relu()

    def beside(self, x: Tensor, places: Tensor) -> Tensor:
        """The first layer of x and places side by side; of the places once for all R, which are not copied."""
        width, weight = x.shape[-1], self.first.weight
        return F.linear(x, weight[:, :width], self.first.bias) + F.linear(places, weight[:, width:])[:, None]

    def convolve(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, R, N, W) -> as x. Raises UserError where tokens are no square grid."""
        side = grid_side(mask)
        if side is None:
            raise UserError("task.head.kernel=3 needs tokens in a square grid: use task.head.kernel=1 for regions")
        cells = x.flatten(0, 1).transpose(1, 2).unflatten(2, (side, side))  # (B * R, W, H, H)
        return self.second(cells).flatten(2).transpose(1, 2).view_as(x)
