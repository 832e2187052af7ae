"""Tokens of the same time are one frame, and frames have an order. A photo is a clip of one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from captioning.errors import UserError
from captioning.layers.lstm import LSTM, read_sequence
from captioning.layers.positions import token_positions
from captioning.memory import VisualMemory


@dataclass(frozen=True)
class Frames:
    """Which frame each token of a memory belongs to."""

    index: Tensor  # (B, N) of frames in the order of their times; 0 for padding
    mask: Tensor  # (B, N) True where a token is real
    counts: Tensor  # (B, F) real tokens of each frame

    @classmethod
    def of(cls, memory: VisualMemory) -> Frames:
        """Tokens may stand in any order, and frames may have different numbers of them."""
        index = torch.zeros_like(memory.mask, dtype=torch.long)
        if memory.times is not None:
            times, order = memory.times.float().masked_fill(~memory.mask, torch.inf).sort(dim=1, stable=True)
            rank = (times[:, 1:] != times[:, :-1]).cumsum(1)  # (B, N-1) of all but the first
            index = index.scatter(1, order[:, 1:], rank).masked_fill(~memory.mask, 0)
        frames = int(index.max()) + 1
        counts = torch.zeros(len(index), frames, device=index.device).scatter_add(1, index, memory.mask.float())
        return cls(index, memory.mask, counts)

    @property
    def real(self) -> Tensor:
        """(B, F) True where a frame is one."""
        return self.counts > 0

    def mean(self, tokens: Tensor) -> Tensor:
        """The mean of each frame's tokens: (B, N, W) -> (B, F, W), zeros where a frame is none."""
        tokens = tokens.masked_fill(~self.mask[..., None], 0.0)
        sums = tokens.new_zeros(*self.counts.shape, tokens.shape[-1])
        sums = sums.scatter_add(1, self.index[..., None].expand_as(tokens), tokens)
        return sums / self.counts.clamp(min=1)[..., None].to(sums.dtype)

    def spread(self, frames: Tensor) -> Tensor:
        """To each token its frame's vector: (B, F, W) -> (B, N, W)."""
        return frames.gather(1, self.index[..., None].expand(-1, -1, frames.shape[-1]))


class FrameOrder(nn.Module):
    """Lets attention, which sees a bag of tokens, see the order of frames.

    "recurrent": an LSTM reads the frames in both directions and adds to the tokens of each what came before and what
    follows, so that one look at one frame tells what is changing there. "times": when and where a token is, as
    sinusoids; that order tells apart two frames, not what happened between them until both were looked at.
    "none": tokens as they are, for features that know of motion already.
    """

    def __init__(self, width: int, kind: Literal["recurrent", "times", "none"] = "recurrent"):
        super().__init__()
        if kind not in ("recurrent", "times", "none"):
            raise UserError(f"decoder.order is {kind!r}: it is recurrent, times or none")
        self.kind = kind
        self.lstm = LSTM(width, width, batch_first=True, bidirectional=True) if kind == "recurrent" else None

    def forward(self, tokens: Tensor, memory: VisualMemory, frames: Frames) -> Tensor:
        """tokens (B, N, W) of `memory`, grouped as `frames` -> (B, N, W)."""
        if self.lstm is not None:
            read, _ = read_sequence(self.lstm, frames.mean(tokens), frames.real)  # (B, F, 2W)
            return tokens + frames.spread(read.unflatten(-1, (2, -1)).sum(-2))
        return tokens + token_positions(memory, tokens.shape[-1]) if self.kind == "times" else tokens
