"""Any recording a person has, as samples of one channel at one rate: sound files, and the sound of clips."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from captioning.errors import UserError
from captioning.files.regular import one_line
from captioning.media.confined import confined_sound
from captioning.media.sound_file import SoundError, decoded


@dataclass(frozen=True, eq=False)
class Sound:
    """A recording, of which nothing is read before `samples` asks.

    >>> Sound.open("bark.ogg").samples(16_000, 2.0).shape
    (32000,)
    """

    read: Callable[[int], NDArray[np.float32]]  # rate -> mono samples (n,)
    name: str

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, confined: bool = False) -> Sound:
        """The sound of a file, its first ten minutes at most; of a stranger's, read in a process with limits, where it
        is `confined`. Nothing is opened yet."""
        read = confined_sound if confined else decoded
        return cls(lambda rate: read(Path(path), rate), os.fspath(path))

    @classmethod
    def of(cls, samples: NDArray | Sequence[float], rate: int, *, name: str = "a sound") -> Sound:
        """Samples (n,), or (n, channels), real in [-1, 1] or whole as int16, `rate` a second.

        Raises UserError for anything else.
        """
        values = np.asarray(samples)
        if values.ndim not in (1, 2) or not values.size or not np.isfinite(values).all() or rate < 1:
            raise UserError(f"{name}: samples are (n,) or (n, channels) finite numbers, and the rate is 1 or more")
        mono = values.reshape(len(values), -1).astype(np.float32).mean(1)
        mono = mono / 32768 if values.dtype.kind in "iu" else mono
        return cls(lambda wanted: resampled(mono, rate, wanted), name)

    def samples(self, rate: int, seconds: float) -> NDArray[np.float32]:
        """-> (rate * seconds,) in about [-1, 1]: the middle of a longer recording, a shorter one said again.

        Raises SoundError naming the file.
        """
        there, wanted = self.read(rate), round(rate * seconds)
        if not len(there):
            raise SoundError(f"{one_line(self.name)} has no sound in it. Name a recording.")
        if len(there) < wanted:
            there = np.tile(there, -(-wanted // len(there)))[:wanted]
        first = (len(there) - wanted) // 2
        return np.ascontiguousarray(there[first : first + wanted], np.float32)


def resampled(samples: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    """Samples (n,) at another rate, by FFmpeg's resampler, which keeps what the new rate cannot hold out of it."""
    if rate == wanted:
        return samples
    import av

    frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="flt", layout="mono", rate=wanted)
    parts = [out.to_ndarray()[0] for each in (frame, None) for out in resampler.resample(each)]
    return np.concatenate(parts) if parts else samples[:0]
