"""Other views of a memory, in training only: what a frozen encoder returned is all that a small data set has."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from captioning.errors import UserError
from captioning.layers.positions import grid_side
from captioning.memory import VisualMemory
from captioning.text.vocabulary import Vocabulary

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

    def __call__(self, memory: VisualMemory, words: Tensor | None) -> tuple[VisualMemory, Tensor | None]:
        """A memory of B images and their captions (B, R, T) -> the same, seen otherwise."""
        if self.mirror:
            chosen = torch.rand(len(memory), device=memory.tokens.device) < self.mirror  # (B,)
            memory, words = self.mirrored(memory, words, chosen)
        if self.drop_tokens:
            hidden = torch.rand(memory.mask.shape, device=memory.mask.device) < self.drop_tokens
            kept = memory.mask & ~hidden
            memory = replace(memory, mask=torch.where(kept.any(1, keepdim=True), kept, memory.mask))
        return memory, words

    def mirrored(
        self, memory: VisualMemory, words: Tensor | None, chosen: Tensor
    ) -> tuple[VisualMemory, Tensor | None]:
        """The images where `chosen` (B,) is True, in a mirror."""
        if memory.boxes is not None:
            boxes = torch.stack(
                [1 - memory.boxes[..., 2], memory.boxes[..., 1], 1 - memory.boxes[..., 0], memory.boxes[..., 3]], -1
            )
            memory = replace(memory, boxes=torch.where(chosen[:, None, None], boxes, memory.boxes))
        elif memory.times is None and (side := grid_side(memory.mask)):
            tokens = memory.tokens.unflatten(1, (side, side)).flip(2).flatten(1, 2)
            memory = replace(memory, tokens=torch.where(chosen[:, None, None], tokens, memory.tokens))
        else:
            return memory, words
        if words is None:
            return memory, None
        opposite = self.opposite.to(words.device)
        return memory, torch.where(chosen[:, None, None], opposite[words], words)


def opposites(vocabulary: Vocabulary) -> Tensor:
    """The id of what each word is called in a mirror, (V,): its own but for left and right, where both are known."""
    ids = torch.arange(len(vocabulary))
    for pair in SIDES:
        if all(word in vocabulary.ids for word in pair):
            left, right = (vocabulary.ids[word] for word in pair)
            ids[left], ids[right] = right, left
    return ids
