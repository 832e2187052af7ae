"""Any recording a person has, as samples of one channel at one rate: sound files, and the sound of clips."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from captioning.errors import UserError
from captioning.files.regular import one_line, open_regular

LONGEST = 600.0  # seconds of a file that are read at most
TIME_LIMIT = 10.0  # seconds of work that reading one file may take


class SoundError(UserError):
    """A recording that cannot be read. The message is one line: the file, what is wrong with it, the remedy."""


@dataclass(frozen=True, eq=False)
class Sound:
    """A recording, of which nothing is read before `samples` asks.

    >>> Sound.open("bark.ogg").samples(16_000, 2.0).shape
    (32000,)
    """

    read: Callable[[int], NDArray[np.float32]]  # rate -> mono samples (n,)
    name: str

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Sound:
        """The sound of a file, its first ten minutes at most. Nothing is opened yet."""
        return cls(lambda rate: decoded(Path(path), rate), os.fspath(path))

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


def decoded(path: Path, rate: int) -> NDArray[np.float32]:
    """The first sound stream of a file as mono samples (n,). What is damaged behind its begin is left out.

    Only containers of one recording are opened, and nothing that refers to other files. Raises SoundError.
    """
    import av

    from captioning.media.video_stream import CONTAINERS, TimeUp, WatchedFile

    def refuse(*_: object) -> None:
        raise PermissionError("it refers to other files")

    name = one_line(os.fspath(path))
    closed = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none", "enable_drefs": "0"}
    parts: list[NDArray[np.float32]] = []
    with open_regular(path, "recording", SoundError) as file:
        try:
            watched = WatchedFile(file, TIME_LIMIT)
            with av.open(watched, timeout=watched.wall_limit, io_open=refuse, options=closed) as container:
                if not container.streams.audio:
                    raise SoundError(f"{name} has no sound in it. Name a recording, or a clip with sound.")
                resampler, length = av.AudioResampler(format="flt", layout="mono", rate=rate), 0
                try:
                    for frame in container.decode(container.streams.audio[0]):
                        watched.check()
                        parts += [out.to_ndarray()[0] for out in resampler.resample(frame)]
                        length += len(parts[-1]) if parts else 0
                        if length > LONGEST * rate:
                            break
                    parts += [out.to_ndarray()[0] for out in resampler.resample(None)]
                except av.FFmpegError:
                    if not parts:
                        raise
        except SoundError:
            raise
        except TimeUp:
            raise SoundError(f"{name} takes more than {TIME_LIMIT:g} seconds to read. Shorten it.") from None
        except Exception as error:  # a damaged header reaches arbitrary places of FFmpeg and PyAV
            reason = one_line(str(error)) or type(error).__name__
            raise SoundError(f"{name} is no recording, or damaged ({reason}). Copy it again.") from error
    found = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    return np.nan_to_num(found, posinf=0.0, neginf=0.0)
