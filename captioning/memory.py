"""What an encoder hands to a decoder, whatever it looked at."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class VisualMemory:
    """Visual tokens of a batch of images or clips. Nothing in here has an axis for captions: R rows share it."""

    tokens: Tensor  # (B, N, D) grid cells, regions, or frames
    mask: Tensor  # (B, N)    True where a token is real
    pooled: Tensor  # (B, D)    one vector for the whole image or clip
    boxes: Tensor | None = None  # (B, N, 4) x1 y1 x2 y2 in [0, 1]; regions only
    times: Tensor | None = None  # (B, N)    seconds; video only
    classes: Tensor | None = None  # (B, N) int64, index into the encoder's class names; regions only
    scores: Tensor | None = None  # (B, N)  detector confidence in [0, 1]; regions only

    def __len__(self) -> int:
        return len(self.tokens)

    def to(self, *args: Any, **kwargs: Any) -> VisualMemory:
        """Every tensor moved as `Tensor.to` moves it; the mask stays boolean and classes stay whole numbers."""
        present = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        real = {name: part.to(*args, **kwargs) for name, part in present.items() if part.is_floating_point()}
        device, whole = real["tokens"].device, present.keys() - real.keys()
        return replace(self, **real, **{name: present[name].to(device) for name in whole})

    def float(self) -> VisualMemory:
        """Single precision: what a decoder computes in, whatever a store kept."""
        return self.to(torch.float32)

    def keep(self, images: Tensor) -> VisualMemory:
        """Only these images, in this order. images (B',) of indices."""
        present = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(self, **{name: part[images] for name, part in present.items()})

    def without_concepts(self, images: Tensor | None = None) -> VisualMemory:
        """With the tokens masked that have a class, in all images or those chosen, (B,) bool."""
        if self.classes is None:
            return self
        hidden = (self.classes >= 0) if images is None else (self.classes >= 0) & images[:, None]
        return replace(self, mask=self.mask & ~hidden, classes=self.classes.masked_fill(hidden, -1))

    @staticmethod
    def blank(width: int) -> VisualMemory:
        """One image of one token of zeros, (1, 1, width): to try what reads a memory before there is any."""
        token = torch.zeros(1, 1, width)
        return VisualMemory(token, torch.ones(1, 1, dtype=torch.bool), token[:, 0])

    @staticmethod
    def stack(memories: list[VisualMemory]) -> VisualMemory:
        """Memories of any N as one batch, padded at the end with masked zeros. Optional parts need all to have them."""
        longest = max(memory.tokens.shape[1] for memory in memories)

        def padded(name: str) -> Tensor | None:
            parts = [getattr(memory, name) for memory in memories]
            if any(part is None for part in parts):
                return None
            if name == "pooled":
                return torch.cat(parts)
            return torch.cat([_pad(part, longest) for part in parts])

        parts: dict[str, Any] = {f.name: padded(f.name) for f in fields(VisualMemory)}
        return VisualMemory(**parts)


def _pad(tensor: Tensor, length: int) -> Tensor:
    if tensor.shape[1] == length:
        return tensor
    grown = tensor.new_zeros(tensor.shape[0], length, *tensor.shape[2:])
    grown[:, : tensor.shape[1]] = tensor
    return grown
