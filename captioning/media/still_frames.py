"""A clip whose frames are pictures already: an array, a list, or the files of a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from captioning.errors import UserError
from captioning.media.images import open_image, shrinking, to_rgb


@dataclass(frozen=True, eq=False)
class StillFrames:
    """F frames, `fps` a second: (F, H, W, 3) uint8, or a sequence of PIL images, arrays (H, W, 3) and paths."""

    frames: np.ndarray | Sequence[Any]
    fps: float
    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.fps, (int, float)) or not 0 < self.fps < float("inf"):
            raise UserError(f"{self.name}: fps is {self.fps!r}, give a positive number of frames a second.")
        if len(self.frames) == 0:
            raise UserError(f"{self.name} has no frames. A clip has at least one.")
        for frame in [self.frames] if isinstance(self.frames, np.ndarray) else self.frames:
            self._check(frame, 4 if frame is self.frames else 3)

    def duration(self) -> float:
        """Seconds."""
        return len(self.frames) / self.fps

    def look(
        self, moments: Callable[[float], Sequence[float]], *, size: int | None = None, threads: int = 1
    ) -> list[tuple[float, Image.Image]]:
        """As `VideoFile.look`."""
        seen: dict[int, tuple[float, Image.Image]] = {}
        wanted = []
        for moment in moments(self.duration()):
            at = min(max(int(np.floor(moment * self.fps + 1e-6)), 0), len(self.frames) - 1)
            if at not in seen:
                seen[at] = (at / self.fps, self._picture(self.frames[at], size))
            wanted.append(seen[at])
        return wanted

    def _picture(self, frame: Any, size: int | None) -> Image.Image:
        if isinstance(frame, (str, os.PathLike)):
            return reduced(open_image(frame, size=size), size)
        return reduced(Image.fromarray(frame) if isinstance(frame, np.ndarray) else to_rgb(frame), size)

    def _check(self, frame: Any, dimensions: int) -> None:
        if isinstance(frame, np.ndarray):
            if frame.dtype != np.uint8 or frame.ndim != dimensions or frame.shape[-1] != 3 or 0 in frame.shape:
                shape = "(F, H, W, 3)" if dimensions == 4 else "(H, W, 3)"
                raise UserError(f"{self.name}: an array must be uint8 {shape}, not {frame.dtype} {frame.shape}.")
        elif not isinstance(frame, (str, os.PathLike, Image.Image)) or (
            isinstance(frame, Image.Image) and 0 in frame.size
        ):
            raise UserError(f"{self.name}: a frame is a PIL image, an array or a path, not {type(frame).__name__}.")


def reduced(picture: Image.Image, size: int | None) -> Image.Image:
    """The picture with its shorter side about `size`, its shape kept."""
    factor = shrinking(min(picture.size), size)
    if factor == 1:
        return picture
    width, height = (max(round(side * factor), 1) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
