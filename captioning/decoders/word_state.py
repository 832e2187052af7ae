"""Keys and values of the words so far, which no re-ordering of beams ever copies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captioning.decoders.base import State
from captioning.layers.key_value_cache import WordCache
from captioning.layers.masking import select_rows


@dataclass
class WordState(State):
    """What each row has said so far."""

    cache: WordCache
    history: Tensor  # (B, R, S) True where a slot belongs to the row's history
    length: int = 0  # words in every row

    @classmethod
    def empty(cls, images: int, rows: int, layers: int, device: torch.device) -> WordState:
        """Nothing said yet, for a decoder with so many layers of self-attention."""
        return cls(WordCache(layers), torch.zeros(images, rows, 0, dtype=torch.bool, device=device))

    def select(self, index: Tensor) -> WordState:
        return replace(self, history=select_rows(self.history, index))

    def keep(self, images: Tensor) -> WordState:
        return replace(self, cache=self.cache.keep(images), history=self.history[images])

    def advanced(self) -> WordState:
        """The state one word on: each row has a new slot of its own, which every layer must fill next.

        The cache may hold slots that this state has never heard of, where a copy of it went another way.
        """
        images, rows, known = self.history.shape
        strange = self.history.new_zeros(images, rows, self.cache.used - known)
        own = torch.eye(rows, dtype=torch.bool, device=self.history.device).expand(images, -1, -1)
        self.cache.used += rows
        return replace(self, history=torch.cat([self.history, strange, own], -1), length=self.length + 1)
