"""Real video files of a few kilobytes, each frame of its own colour."""

from pathlib import Path

import av
import numpy as np

CODECS = {".mp4": "mpeg4", ".avi": "mpeg4", ".mkv": "mpeg4", ".mov": "mpeg4", ".webm": "libvpx", ".mpg": "mpeg1video"}


def write_clip(path: Path, *, seconds: float = 1.0, fps: int = 8, size: int = 32, seed: int = 0) -> Path:
    """A clip of noise in coarse squares that differs by seed and changes with time."""
    noise = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream(CODECS[path.suffix.lower()], rate=fps)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for _ in range(max(round(seconds * fps), 1)):
            coarse = noise.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(coarse.repeat(size // 4, 0).repeat(size // 4, 1))
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path
