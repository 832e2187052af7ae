"""Where things are, as vectors: words in a caption, tokens in a picture, frames in a clip."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from captioning.errors import UserError
from captioning.memory import VisualMemory


def sinusoids(values: Tensor, width: int, *, shortest: float, longest: float) -> Tensor:
    """values (...) -> (..., width): sines, then cosines, of periods from shortest to longest in geometric steps."""
    count = math.ceil(width / 2)
    exponents = torch.arange(count, device=values.device, dtype=torch.float32) / max(count - 1, 1)
    periods = shortest * (longest / shortest) ** exponents
    angles = values.float()[..., None] * (2 * math.pi / periods)
    return torch.cat([angles.sin(), angles.cos()], -1)[..., :width]


def grid_cells(mask: Tensor) -> Tensor:
    """Boxes of the cells of a square grid in reading order. mask (B, N) -> (B, N, 4), x1 y1 x2 y2 in [0, 1].

    The side is that of the square nearest to the number of real tokens. Where a grid is not square the places are
    still distinct and the same for every image of that size, which is enough to learn its layout from.
    """
    side = mask.sum(1, keepdim=True).clamp(min=1).sqrt().round()  # (B, 1)
    cell = torch.arange(mask.shape[1], device=mask.device)[None]
    left, top = cell % side, (cell / side).floor()  # (B, N)
    return torch.stack([left, top, left + 1, top + 1], -1) / side[..., None]


def grid_side(mask: Tensor) -> int | None:
    """The side of the square grid that every image of mask (B, N) fills; None where they fill none."""
    side = math.isqrt(mask.shape[1])
    return side if side * side == mask.shape[1] and bool(mask.all()) else None


def box_positions(boxes: Tensor, width: int) -> Tensor:
    """boxes (B, N, 4) in [0, 1] -> (B, N, width): a quarter for each of centre x, centre y, width and height."""
    first, last = boxes.float().split(2, -1)
    geometry = torch.cat([(first + last) / 2, last - first], -1)  # (B, N, 4)
    # from a 32nd of the picture, finer than detectors are, to four pictures, where a sine is all but linear
    return sinusoids(geometry, math.ceil(width / 4), shortest=1 / 32, longest=4.0).flatten(-2)[..., :width]


def time_positions(times: Tensor, mask: Tensor, width: int) -> Tensor:
    """times (B, N) in seconds -> (B, N, width): half for the second, half for the part of the clip that has passed."""
    times = times.float().masked_fill(~mask, 0.0)
    passed = times / times.amax(1, keepdim=True).clamp(min=1e-6)  # (B, N) in [0, 1]
    seconds = sinusoids(times, math.ceil(width / 2), shortest=1.0, longest=1000.0)
    return torch.cat([seconds, sinusoids(passed, math.ceil(width / 2), shortest=1 / 32, longest=4.0)], -1)[..., :width]


def token_positions(memory: VisualMemory, width: int) -> Tensor:
    """Where each visual token is, (B, N, width): its box, its time or both; its cell of a grid if it has neither."""
    if memory.boxes is None and memory.times is None:
        return box_positions(grid_cells(memory.mask), width)
    places = [] if memory.boxes is None else [box_positions(memory.boxes, width)]
    moments = [] if memory.times is None else [time_positions(memory.times, memory.mask, width)]
    return torch.stack(places + moments).sum(0)


def token_centres(memory: VisualMemory) -> Tensor:
    """The middle of each token's box, or of its cell of a grid: x and y (B, N, 2) in [0, 1]."""
    boxes = grid_cells(memory.mask) if memory.boxes is None else memory.boxes
    first, last = boxes.float().split(2, -1)
    return (first + last) / 2


class WordPositions(nn.Module):
    """A vector for each place in a caption: sinusoids without limit, or learned for the first `longest` places."""

    def __init__(self, width: int, kind: Literal["sinusoidal", "learned"] = "sinusoidal", longest: int = 64):
        super().__init__()
        if kind not in ("sinusoidal", "learned"):
            raise UserError(f"decoder.positions is {kind!r}: it is sinusoidal or learned")
        self.width, self.longest = width, longest
        self.learned = nn.Embedding(longest, width) if kind == "learned" else None

    def forward(self, begin: int, end: int, device: torch.device) -> Tensor:
        """Places from begin to before end -> (end - begin, width). Raises UserError past the last learned one."""
        if self.learned is None:
            # the periods of Vaswani et al. 2017 (arXiv:1706.03762)
            places = torch.arange(begin, end, device=device)
            return sinusoids(places, self.width, shortest=2 * math.pi, longest=2 * math.pi * 10_000)
        if end > self.longest:
            raise UserError(
                f"a caption of {end} words is longer than the {self.longest} places this decoder has learned: "
                "lower the maximum number of words, or train with decoder.positions=sinusoidal"
            )
        return self.learned.weight[begin:end]
