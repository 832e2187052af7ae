"""Small memories of every kind, and random words, to hold a decoder or a task to its laws with."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from captioning.memory import VisualMemory
from captioning.text.vocabulary import BOS, UNK

IMAGES, ROWS, LENGTH = 3, 2, 5
COUNTS = (7, 4, 1)  # real tokens of each image
KINDS = ("grid", "regions", "clips", "concepts")


def memory(kind: str, *, width: int, images: int = IMAGES, concepts: int = 9) -> VisualMemory:
    """Images of unequal numbers of tokens. kind: grid, regions, clips, or concepts, which are every other token.

    tokens (images, 7, width), of which 7, 4, 1, 7, ... are real."""
    generator = torch.Generator().manual_seed(5)
    counts = torch.tensor(COUNTS)[torch.arange(images) % len(COUNTS)]
    mask = torch.arange(max(COUNTS)) < counts[:, None]  # (B, N)
    tokens = torch.randn(*mask.shape, width, generator=generator) * mask[..., None]
    corners = torch.rand(*mask.shape, 4, generator=generator) * mask[..., None]
    pooled = torch.randn(images, width, generator=generator)
    places, classes = torch.arange(max(COUNTS)), torch.randint(0, concepts, mask.shape, generator=generator)
    return VisualMemory(
        tokens,
        mask,
        pooled,
        boxes=corners.sort(-1).values if kind in ("regions", "concepts") else None,
        times=places * 0.5 * mask if kind == "clips" else None,
        classes=torch.where(places % 2 == 0, classes, -1) if kind == "concepts" else None,
        scores=torch.rand(mask.shape, generator=generator) if kind == "concepts" else None,
    )


def of(memory: VisualMemory, images: list[int], *, tokens: int | None = None) -> VisualMemory:
    """These of the images, cut to so many tokens."""
    parts = {name: part[images] for name, part in vars(memory).items() if part is not None}
    return replace(memory, **{name: part if name == "pooled" else part[:, :tokens] for name, part in parts.items()})


def captions(rows: int = ROWS, *, vocabulary_size: int, images: int = IMAGES, length: int = LENGTH) -> Tensor:
    """Random words (B, R, T) that begin with BOS."""
    words = torch.randint(UNK + 1, vocabulary_size, (images, rows, length), generator=torch.Generator().manual_seed(7))
    words[..., 0] = BOS
    return words
