"""Pictures as they are, for a model that has a reader of its own: nothing is seen yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from captioning.encoders.base import Encoder
from captioning.media.clip import Clip, FrameSampling
from captioning.memory import VisualMemory

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 2048  # pixels of the shorter side that a picture keeps at least


@dataclass(frozen=True)
class PictureMemory(VisualMemory):
    """B photos or clips that will be looked at later; tokens, mask and pooled hold nothing."""

    pictures: tuple[tuple[Image, ...], ...] = ()  # B, of each the picture, or frames in order

    @classmethod
    def of(cls, pictures: Sequence[tuple[Image, ...]]) -> PictureMemory:
        """The memory of these pictures."""
        nothing = torch.zeros(len(pictures), 1, 1)
        return cls(nothing, torch.ones(len(pictures), 1, dtype=torch.bool), nothing[:, 0], pictures=tuple(pictures))

    def to(self, *args: Any, **kwargs: Any) -> PictureMemory:
        """The same: there is nothing in it that a device could hold."""
        return self


class RawPictures(Encoder):
    """Hands pictures on as they are, or `frames` moments of a clip where it `takes` clips. A store cannot keep them."""

    width, size, storable = 1, LARGEST, False

    def __init__(self, *, takes: str = "image", frames: int = 8):
        super().__init__()
        self.takes = takes  # type: ignore[assignment]
        self.sampling = FrameSampling(frames=frames)

    def read(self, image: Image | Clip) -> tuple[Image, ...]:
        """A picture, or frames of a clip in order."""
        if not isinstance(image, Clip):
            return (image,)
        return tuple(image.sample(self.sampling, size=self.size, threads=torch.get_num_threads())[0])

    def collate(self, pictures: Sequence[tuple[Image, ...]]) -> PictureMemory:
        return PictureMemory.of(pictures)

    def forward(self, pictures: PictureMemory) -> PictureMemory:
        return pictures
