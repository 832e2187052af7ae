"""Other views of a memory, in training only: what a frozen encoder returned is all that a small data set has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from captioning.errors import UserError
from captioning.layers.positions import grid_side
from captioning.memory import VisualMemory
from captioning.text.vocabulary import Vocabulary

Unmirror = Callable[[Tensor], Tensor]
SIDES = (("left", "right"), ("leftmost", "rightmost"), ("leftward", "rightward"))


class Augmentation:
    """Mirrors pictures and hides tokens, each image by itself.

    `mirror`: the probability, 0 to 1, that an image is seen in a mirror: the columns of a grid change places, boxes
    are reflected, and "left" and "right" change places in its captions. Tokens with times and no boxes stay.
    `drop_tokens`: the probability, 0 to below 1, that a token is hidden; one at least stays.
    """

    def __init__(self, vocabulary: Vocabulary, *, mirror: float = 0.0, drop_tokens: float = 0.0):
        if not 0 <= mirror <= 1:
            raise UserError(f"augmentation.mirror is {mirror}: it is a probability, from 0 to 1")
        if not 0 <= drop_tokens < 1:
            raise UserError(f"augmentation.drop_tokens is {drop_tokens}: it is a probability, from 0 to below 1")
        self.mirror, self.drop_tokens = mirror, drop_tokens
        self.opposite = opposites(vocabulary)

    def __call__(
        self, memory: VisualMemory, words: Tensor | None
    ) -> tuple[VisualMemory, Tensor | None, Unmirror | None]:
        """A memory of B images and their captions (B, R, T) -> the same, seen otherwise, and what makes of words about
        the images as they are seen, (B, R, T), words about the photos; None where no image is in a mirror."""
        unmirror = None
        if self.mirror and mirrors(memory):
            chosen = torch.rand(len(memory), device=memory.tokens.device) < self.mirror  # (B,)
            memory, words = self.mirrored(memory, words, chosen)
            unmirror = partial(self.swapped, chosen=chosen)
        if self.drop_tokens:
            hidden = torch.rand(memory.mask.shape, device=memory.mask.device) < self.drop_tokens
            kept = memory.mask & ~hidden
            memory = replace(memory, mask=torch.where(kept.any(1, keepdim=True), kept, memory.mask))
        return memory, words, unmirror

    def mirrored(
        self, memory: VisualMemory, words: Tensor | None, chosen: Tensor
    ) -> tuple[VisualMemory, Tensor | None]:
        """The images where `chosen` (B,) is True, in a mirror."""
        return seen_in_mirror(memory, chosen), None if words is None else self.swapped(words, chosen)

    def swapped(self, words: Tensor, chosen: Tensor) -> Tensor:
        """words (B, R, T), left and right in each other's place where `chosen` (B,) is True."""
        opposite = self.opposite.to(words.device)
        return torch.where(chosen.to(words.device)[:, None, None], opposite[words], words)


def seen_in_mirror(memory: VisualMemory, chosen: Tensor) -> VisualMemory:
    """The images where `chosen` (B,) is True in a mirror: the columns of a grid change places, boxes are reflected."""
    if memory.boxes is not None:
        boxes = torch.where(chosen[:, None, None], reflected(memory.boxes), memory.boxes)
        return replace(memory, boxes=boxes)
    if side := grid_side(memory.mask):
        tokens = memory.tokens.unflatten(1, (side, side)).flip(2).flatten(1, 2)
        return replace(memory, tokens=torch.where(chosen[:, None, None], tokens, memory.tokens))
    return memory


def reflected(boxes: Tensor) -> Tensor:
    """Boxes (..., 4), corners in [0, 1], as they are in a mirror."""
    return torch.stack([1 - boxes[..., 2], boxes[..., 1], 1 - boxes[..., 0], boxes[..., 3]], -1)


def mirrors(memory: VisualMemory) -> bool:
    """Whether a memory can be seen in a mirror: where its tokens lie is known."""
    return memory.boxes is not None or (memory.times is None and bool(grid_side(memory.mask)))


def opposites(vocabulary: Vocabulary) -> Tensor:
    """The id of what each word is called in a mirror, (V,): its own but for left and right, where both are known."""
    ids = torch.arange(len(vocabulary))
    for pair in SIDES:
        if all(word in vocabulary.ids for word in pair):
            left, right = (vocabulary.ids[word] for word in pair)
            ids[left], ids[right] = right, left
    return ids
