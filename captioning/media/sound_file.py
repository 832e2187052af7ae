"""The sound of a file, decoded as samples of one channel at one rate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from captioning.errors import UserError
from captioning.files.regular import one_line, open_regular

LONGEST = 600.0  # seconds of a file that are read at most
TIME_LIMIT = 10.0  # seconds of work that reading one file may take


class SoundError(UserError):
    """A recording that cannot be read. The message is one line: the file, what is wrong with it, the remedy."""


def decoded(path: Path, rate: int) -> NDArray[np.float32]:
    """`decoded_file` of the file there."""
    with open_regular(path, "recording", SoundError) as file:
        return decoded_file(file, one_line(os.fspath(path)), rate)


def decoded_file(file: BinaryIO, name: str, rate: int) -> NDArray[np.float32]:
    """The first sound stream of an open file as mono samples (n,). What is damaged behind its begin is left out.

    Only containers of one recording are opened, and nothing that refers to other files. Raises SoundError.
    """
    import av

    from captioning.media.video_stream import CONTAINERS, TimeUp, WatchedFile

    def refuse(*_: object) -> None:
        raise PermissionError("it refers to other files")

    closed = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none", "enable_drefs": "0"}
    parts: list[NDArray[np.float32]] = []
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
