"""Any clip a person has, as a few moments of it: RGB pictures the right way up, and when each is seen."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from captioning.errors import UserError
from captioning.media.confined import ConfinedVideo
from captioning.media.finding import find_images
from captioning.media.still_frames import StillFrames
from captioning.media.video_file import TIME_LIMIT, VideoFile

MODES = ("uniform", "fps", "segments")
MAX_FRAMES = 4096  # of one sampling
FRAME_RATE = 25.0  # of frames that come without times


@dataclass(frozen=True)
class FrameSampling:
    """Which moments of a clip are looked at, in seconds from its first frame.

    uniform: the centres of `frames` equal parts. fps: one every 1 / `fps` seconds, or as uniform where that would be
    more than `frames`. segments: a random moment of each of `frames` equal parts, the same for the same `seed`, and
    the centres without one (Wang et al., Temporal Segment Networks, ECCV 2016).
    """

    frames: int = 8
    mode: str = "uniform"
    fps: float | None = None
    seed: int | str | None = None

    def __post_init__(self) -> None:
        if type(self.frames) is not int or not 1 <= self.frames <= MAX_FRAMES:
            raise UserError(f"sampling.frames is {self.frames!r}: it is a number from 1 to {MAX_FRAMES:,}")
        if self.mode not in MODES:
            raise UserError(f"sampling.mode is {self.mode!r}: it is one of {', '.join(MODES)}")
        if self.mode == "fps" and not (isinstance(self.fps, (int, float)) and 0 < self.fps <= 1000):
            raise UserError(f"sampling.fps is {self.fps!r}: the mode fps takes a number of frames a second")

    @classmethod
    def of(cls, what: FrameSampling | Mapping[str, Any] | None) -> FrameSampling:
        """Itself, or one made of keywords. Raises UserError for a keyword it does not have."""
        if isinstance(what, cls):
            return what
        try:
            return cls(**(what or {}))
        except TypeError as error:
            raise UserError(f"sampling: {error}. It takes frames, mode, fps and seed") from None

    def moments(self, begin: float, end: float) -> list[float]:
        """At least one moment of [begin, end), in order."""
        length = end - begin
        if self.mode == "fps" and self.fps * length <= self.frames:
            count = max(int(np.ceil(self.fps * length - 1e-6)), 1)
            return [begin + k / self.fps for k in range(count)]
        dice = random.Random(f"{self.seed}") if self.mode == "segments" and self.seed is not None else None
        return [begin + (k + (dice.random() if dice else 0.5)) * length / self.frames for k in range(self.frames)]


@dataclass(frozen=True)
class Clip:
    """A clip of which nothing is opened until it is looked at; plain data that may go to another process.

    >>> frames, times = Clip.open("cat.mp4").sample(FrameSampling(frames=8))
    """

    media: VideoFile | StillFrames = field(repr=False)
    name: str
    seed: int | str | None = None  # of samplings with a random part that have no seed of their own

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        fps: float = FRAME_RATE,
        time_limit: float | None = TIME_LIMIT,
        confined: bool = False,
    ) -> Clip:
        """The clip in a file of any kind that FFmpeg reads, or of the pictures in a folder, by name, `fps` a second.

        Looking at a file takes at most `time_limit` seconds of work; None sets no limit. `confined` has it read in a
        process of its own, which has limits of memory too, as is right for files of strangers. Raises UserError for a
        folder without pictures; what is wrong with a file is found when it is looked at.
        """
        if os.path.isdir(path):
            return cls(StillFrames(tuple(find_images(path)), fps, str(path)), str(path))
        return cls((ConfinedVideo if confined else VideoFile)(Path(path), time_limit), str(path))

    @classmethod
    def of(cls, frames: np.ndarray | Sequence[Any], *, fps: float = FRAME_RATE, name: str = "the clip") -> Clip:
        """The clip of an array (F, H, W, 3) of uint8, or of a list of pictures, `fps` a second.

        Raises UserError where there is no frame, or it is no picture.
        """
        return cls(StillFrames(frames if isinstance(frames, np.ndarray) else tuple(frames), fps, name), name)

    @property
    def duration(self) -> float:
        """Seconds. A file is opened for it, and its end is read. Raises UserError where it cannot be."""
        return self.media.duration()

    def seeded(self, seed: int | str) -> Clip:
        """The clip as it is looked at under this seed: random samplings fall differently for each."""
        return replace(self, seed=seed)

    def sample(
        self,
        sampling: FrameSampling,
        *,
        size: int | None = None,
        begin: float = 0.0,
        end: float | None = None,
        threads: int = 1,
    ) -> tuple[list[Image.Image], np.ndarray]:
        """What `sampling` picks between `begin` and `end` seconds. -> F RGB pictures, their times (F,) float32.

        A moment shows the last frame that began by then, and every frame comes once: a clip of fewer frames than
        asked for gives those it has. Times are those at which the frames begin, in seconds from the first of the clip.
        A clip that breaks off ends there. `size` is a hint, in pixels, that no side needs more than this: frames larger
        by a third or more are reduced until their shorter side has it. `threads` decode a file.

        Raises:
            UserError: the file is missing, no video, without a frame that can be decoded, too large, or took too long;
                or nothing of the clip lies between `begin` and `end`.
        """
        snippets, times = self.snippets(sampling, size=size, begin=begin, end=end, threads=threads)
        return [frames[0] for frames in snippets], times

    def snippets(
        self,
        sampling: FrameSampling,
        *,
        length: int = 1,
        fps: float | None = None,
        size: int | None = None,
        begin: float = 0.0,
        end: float | None = None,
        threads: int = 1,
    ) -> tuple[list[list[Image.Image]], np.ndarray]:
        """What `sample` gives, each frame amid `length` frames at `fps` a second: number `length // 2` is its own.

        At the ends of the clip its first or last frame is repeated. -> F lists of `length` pictures, times (F,).
        """
        if self.seed is not None and sampling.seed is None:
            sampling = replace(sampling, seed=self.seed)
        steps = [(k - length // 2) / (fps or 1.0) for k in range(length)]

        def moments(duration: float) -> list[float]:
            last = duration if end is None else min(end, duration)
            if not 0 <= begin < last:
                raise UserError(
                    f"{self.name} lasts {duration:.1f} seconds: nothing lies from {begin} to {end} seconds."
                )
            return [moment + step for moment in sampling.moments(begin, last) for step in steps]

        seen = self.media.look(moments, size=size, threads=threads)
        parts = [seen[i : i + length] for i in range(0, len(seen), length)]
        distinct = {part[length // 2][0]: part for part in parts}
        times = np.array(list(distinct), np.float32)
        return [[picture for _, picture in part] for part in distinct.values()], times
