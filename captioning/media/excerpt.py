"""A stretch of a clip, to be looked at as if there were nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

    from captioning.media.still_frames import StillFrames
    from captioning.media.video_file import VideoFile


@dataclass(frozen=True)
class Excerpt:
    """What `media` shows from `begin` to `end` seconds (None: to its end). Its own time begins with `begin`."""

    media: VideoFile | StillFrames
    begin: float
    end: float | None = None

    def duration(self) -> float:
        """Seconds. Raises UserError where the whole cannot be opened."""
        return self._length(self.media.duration())

    def look(
        self, moments: Callable[[float], Sequence[float]], *, size: int | None = None, threads: int = 1
    ) -> list[tuple[float, Image]]:
        """As `VideoFile.look`; moments before the beginning or behind the end show the first or the last frame."""

        def shifted(duration: float) -> list[float]:
            length = self._length(duration)
            return [self.begin + min(max(moment, 0.0), length) for moment in moments(length)]

        seen = self.media.look(shifted, size=size, threads=threads)
        return [(max(seconds - self.begin, 0.0), picture) for seconds, picture in seen]

    def _length(self, duration: float) -> float:
        return (duration if self.end is None else min(self.end, duration)) - self.begin
