"""From what an encoder saw, or a text says, to unit vectors of one space; and the temperature of their similarities."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captioning.errors import UserError
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.memory import VisualMemory


class AttentionPool(nn.Module):
    """Each of H heads takes its own weighted mean of all vectors, and makes its slice of the output of it.

    Weights are a linear function of the vectors and not of keys made of them: to look at N vectors of width D costs
    N * D * H multiplications, a fraction of one linear layer on each.
    """

    def __init__(self, inputs: int, width: int, *, heads: int = 8, dropout: float = 0.0):
        super().__init__()
        if heads < 1 or width % heads:
            raise UserError(f"heads={heads}: it has to divide the width, which is {width}")
        self.heads = heads
        self.scores = Linear(inputs, heads)
        self.values = Linear(inputs, width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, N, D), mask (B, N) True where real -> (B, W)."""
        scores = self.scores(x).transpose(1, 2)  # (B, H, N)
        weights = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min).softmax(-1)
        means = self.dropout(weights @ x)  # (B, H, D)
        slices = self.values.weight.view(self.heads, -1, x.shape[-1])  # (H, W/H, D)
        return torch.einsum("bhd,hwd->bhw", means, slices).flatten(1) + self.values.bias


class ResidualProjection(nn.Module):
    """A residual layer of two, then a linear one into the space. (..., W) -> (..., S) of unit length."""

    def __init__(self, width: int, space: int, *, dropout: float = 0.0):
        super().__init__()
        self.hidden = nn.Sequential(
            nn.LayerNorm(width), Linear(width, width), nn.GELU(), Dropout(dropout), Linear(width, width)
        )
        self.output = Linear(width, space)

    def forward(self, x: Tensor) -> Tensor:
        return unit(self.output(x + self.hidden(x)))


class VisualProjection(nn.Module):
    """A memory as one unit vector: its pooled vector and an attention pool of its tokens, projected.

    Both are normalised first, for encoders differ in scale by orders of magnitude. With `heads=0` the pooled vector
    alone counts, as it has to where an encoder's tokens are not worth a look.
    """

    def __init__(self, *, visual_width: int, width: int = 512, heads: int = 8, dropout: float = 0.3):
        """`width` is that of the space."""
        super().__init__()
        self.pooled_norm = nn.LayerNorm(visual_width)
        self.pooled = Linear(visual_width, width)
        self.tokens = AttentionPool(visual_width, width, heads=heads, dropout=dropout) if heads else None
        self.project = ResidualProjection(width, width, dropout=dropout)
        self.dropout = Dropout(dropout)

    def forward(self, memory: VisualMemory) -> Tensor:
        """-> (B, W) of unit length."""
        x = self.pooled(self.dropout(self.pooled_norm(memory.pooled)))  # (B, W)
        if self.tokens is not None:
            x = x + self.tokens(F.layer_norm(memory.tokens, memory.tokens.shape[-1:]), memory.mask)
        return self.project(x)


class Temperature(nn.Module):
    """exp(t) with t learned from ln(1 / `start`), never above `most`: what cosines are multiplied by.

    CLIP's values (arXiv:2103.00020) are 0.07 and 100; SigLIP's start is 0.1, with a bias of -10.
    """

    def __init__(self, start: float = 0.07, most: float = 100.0):
        super().__init__()
        if not 0 < 1 / most <= start:
            raise UserError(f"temperature={start}: it is above 0, and its inverse at most {most:g}")
        self.most = most
        self.exponent = nn.Parameter(torch.tensor(math.log(1 / start)))

    def forward(self) -> Tensor:
        """-> a number in (0, most]. Beyond the bound it goes on learning downwards only."""
        bound = math.log(self.most)
        with torch.no_grad():
            self.exponent.clamp_(max=bound)  # a clamp alone would leave it without a gradient there for ever
        return self.exponent.exp()


def unit(x: Tensor) -> Tensor:
    """(..., W) -> the same directions, of length one, in single precision at least."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)
