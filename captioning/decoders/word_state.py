"""Keys and values of the words so far, which no re-ordering of beams ever copies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captioning.decoders.base import State, select_rows

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


@dataclass
class WordState(State):
    """What each row has said so far."""

    cache: WordCache
    seen: Tensor  # (B, R, S) True where a slot belongs to the row's history
    length: int = 0  # words in every row

    @classmethod
    def empty(cls, images: int, rows: int, layers: int, device: torch.device) -> WordState:
        """Nothing said yet, for a decoder with so many layers of self-attention."""
        return cls(WordCache(layers), torch.zeros(images, rows, 0, dtype=torch.bool, device=device))

    def select(self, index: Tensor) -> WordState:
        return replace(self, seen=select_rows(self.seen, index))

    def keep(self, images: Tensor) -> WordState:
        return replace(self, cache=self.cache.keep(images), seen=self.seen[images])

    def said(self) -> WordState:
        """The state one word on: each row has a new slot of its own, which every layer must fill next.

        The cache may hold slots that this state has never heard of, where a copy of it went another way.
        """
        images, rows, known = self.seen.shape
        strange = self.seen.new_zeros(images, rows, self.cache.used - known)
        own = torch.eye(rows, dtype=torch.bool, device=self.seen.device).expand(images, -1, -1)
        self.cache.used += rows
        return replace(self, seen=torch.cat([self.seen, strange, own], -1), length=self.length + 1)
