"""Clips to write and damage: every frame tells its number."""

import struct
from fractions import Fraction

import av
import numpy as np

PIXELS = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}


def frames(count=60, width=64, height=48) -> np.ndarray:
    """(F, H, W, 3) uint8: a bar that travels over a ground that grows brighter."""
    clip = np.zeros((count, height, width, 3), np.uint8)
    for i, frame in enumerate(clip):
        frame[..., 0] = 255 * i // count
        frame[:, (i * 3) % width : (i * 3) % width + 8, 1] = 255
        frame[: height // 4, : width // 4, 2] = 255  # top left
    return clip


def saved_clip(path, clip=None, *, codec="mpeg4", fps=25, keys=12, b_frames=2, ticks=None, shape=None, options=None):
    """Writes frames, with a key frame every `keys`, at ticks of 1 / fps (in order, unless `ticks` tells others)."""
    clip = frames() if clip is None else clip
    pixels = PIXELS.get(codec, "yuv420p")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width, stream.pix_fmt = *clip.shape[1:3], pixels
        stream.codec_context.thread_count = 1
        if codec not in PIXELS:
            stream.gop_size, stream.max_b_frames = keys, b_frames
        if shape:
            stream.codec_context.sample_aspect_ratio = shape
        stream.options = options or {"h264": {"preset": "ultrafast", "bf": str(b_frames)}}.get(codec, {})
        for i, pixel in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(pixel).reformat(format=pixels)
            frame.pts, frame.time_base = i if ticks is None else ticks[i], Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decoded(path) -> tuple[np.ndarray, list[np.ndarray]]:
    """Every frame of a file, one after the other: seconds from the first (F,), pixels."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        seen = list(container.decode(stream))
        pixels = [frame.to_ndarray(format="rgb24", interpolation="BICUBIC") for frame in seen]
        times = np.array([float((frame.pts - seen[0].pts) * stream.time_base) for frame in seen])
    return times, pixels


def turned(path, degrees):
    """The MP4 file with a note that it is to be seen turned clockwise."""
    a, b = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 44  # type, flags, four dates and numbers, three reserved, layer, group, volume
    content[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path
