"""Keys and values of the words said so far, growing in place."""

from __future__ import annotations

import torch
from torch import Tensor

ROOM = 16  # steps that a cache makes room for at a time


class WordCache:
    """Slots, shared by all rows of an image, to which every step appends the words of its rows.

    A slot is written once and never changes. Which slots make up a row's history is not known here but to the
    `WordState` that holds the cache, so a beam search re-orders rows by gathering a mask of one byte a slot.
    """

    def __init__(self, layers: int):
        self.used = 0  # slots of every image that are written, or reserved for the step under way
        self.keys: list[Tensor | None] = [None] * layers  # (B, H, capacity, d) each
        self.values: list[Tensor | None] = [None] * layers

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """keys and values (B, H, R, d) of a layer, for the newest slots -> those of all slots in use, (B, H, S, d)."""
        self.keys[layer] = self.write(self.keys[layer], keys)
        self.values[layer] = self.write(self.values[layer], values)
        return self.keys[layer][:, :, : self.used], self.values[layer][:, :, : self.used]

    def write(self, slots: Tensor | None, new: Tensor) -> Tensor:
        """-> the slots with `new` (B, H, R, d) as the last of those in use, in a bigger place where they were full."""
        images, heads, rows, width = new.shape
        begin = self.used - rows
        if slots is None:
            slots = new.new_empty(images, heads, 0, width)
        if new.requires_grad:  # writing in place would spoil what the backward pass of earlier steps needs
            return torch.cat([slots[:, :, :begin], new], 2)
        if slots.shape[2] < self.used:
            room = new.new_empty(images, heads, self.used + ROOM * rows, width)
            room[:, :, :begin] = slots[:, :, :begin]
            slots = room
        slots[:, :, begin : self.used] = new
        return slots

    def keep(self, images: Tensor) -> WordCache:
        """A cache of these images alone."""
        kept = WordCache(len(self.keys))
        kept.used = self.used
        if self.used:
            kept.keys = [slots.index_select(0, images) for slots in self.keys]
            kept.values = [slots.index_select(0, images) for slots in self.values]
        return kept
