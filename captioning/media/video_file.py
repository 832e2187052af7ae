"""Frames of a video file at given moments, decoded from the nearest key frame on; or one sentence on what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from av import VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image

from captioning.errors import UserError
from captioning.files.regular import one_line, open_regular
from captioning.media.images import shrinking, to_rgb
from captioning.media.video_stream import NoVideo, Stream, TimeUp, open_stream

TIME_LIMIT = 10.0  # seconds of work that looking at one clip may take
MAX_PIXELS = 36_000_000  # of a frame, somewhat above 8K; a decoder holds up to twenty of them
MAX_PIXELS_IN_ALL = 180_000_000  # of all frames that are kept: 0.5 GB


class ClipError(UserError):
    """A clip that cannot be read. The message is one line: the file, what is wrong with it, the remedy."""


@dataclass(frozen=True)
class VideoFile:
    """A file with a video stream. `time_limit`: seconds of work for each of its methods; None sets no limit."""

    path: Path
    time_limit: float | None = TIME_LIMIT

    def duration(self) -> float:
        """Seconds from the first frame to the end of the last, as they are and not as the header says."""
        with self._stream() as stream:
            return stream.duration

    def look(
        self, moments: Callable[[float], Sequence[float]], *, size: int | None = None, threads: int = 1
    ) -> list[tuple[float, Image.Image]]:
        """What is seen at `moments(duration)`, in seconds, any order. -> (when that frame begins, the frame) of each.

        A moment before the first frame shows the first, one behind the last the last. Raises ClipError.
        """
        with self._stream(threads) as stream:
            wanted = list(moments(stream.duration))
            count = len(set(wanted))
            seen: dict[float, tuple[float, Image.Image]] = {}  # by moment
            kept: dict[float, tuple[float, Image.Image]] = {}  # by time of the frame
            reformat = VideoReformatter().reformat  # keeps its tables from frame to frame
            for moment in sorted(set(wanted)):
                frame = stream.at(moment)
                if frame is None:
                    continue
                if frame.seconds not in kept:
                    image = picture(frame.video, reformat, stream.pixel_shape, size, count)
                    kept[frame.seconds] = (frame.seconds, image)
                seen[moment] = kept[frame.seconds]
            if not seen:
                reason = f" ({one_line(str(stream.trouble))})" if stream.trouble else ""
                raise ClipError(f"{self.name} has no frame that can be decoded{reason}. Copy or download it again.")
            first = seen[min(seen)]
            return [seen.get(moment, first) for moment in wanted]

    @property
    def name(self) -> str:
        """The path as one line."""
        return one_line(str(self.path))

    def _opened(self) -> AbstractContextManager[BinaryIO]:
        return open_regular(self.path, "clip", ClipError)

    @contextmanager
    def _stream(self, threads: int = 1) -> Iterator[Stream]:
        with self._opened() as file, self._decoding():
            if not file.read(1):
                raise ClipError(f"{self.name} is empty (0 bytes). Copy or download it again.")
            file.seek(0)
            with open_stream(file, time_limit=self.time_limit, threads=threads, max_pixels=MAX_PIXELS) as stream:
                width, height = stream.size
                if width * height > MAX_PIXELS:
                    raise ClipError(
                        f"{self.name} has frames of {width:,} x {height:,} pixels, more than {MAX_PIXELS:,} in all. "
                        f"Make it smaller."
                    )
                yield stream

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        """Turns whatever FFmpeg raises of a damaged file into ClipError."""
        try:
            yield
        except UserError:
            raise
        except TimeUp:
            raise ClipError(
                f"{self.name} takes more than {self.time_limit:g} seconds to read. Shorten it or make it smaller."
            ) from None
        except NoVideo:
            raise ClipError(f"{self.name} has no video in it. Name a file with moving pictures.") from None
        except MemoryError:
            raise ClipError(f"{self.name} takes too much memory to read. Make it smaller.") from None
        except Exception as error:  # a damaged header reaches arbitrary places of FFmpeg, PyAV and Pillow
            reason = one_line(str(error)) or type(error).__name__
            raise ClipError(f"{self.name} is no video, or damaged ({reason}). Copy or download it again.") from error


def picture(
    frame: VideoFrame, reformat: Callable[..., VideoFrame], shape: float, size: int | None, count: int
) -> Image.Image:
    """A decoded frame as it is meant to be seen: RGB, square pixels, upright, about `size` on its shorter side.

    `shape`: how many times as wide as high its pixels are. It is one of `count` frames, which are reduced further where
    all of them together would be too many pixels.
    """
    width, height = square_pixels(frame.width, frame.height, shape)
    shrink = min(shrinking(min(width, height), size), (MAX_PIXELS_IN_ALL / count / width / height) ** 0.5)
    width, height = max(round(width * shrink), 1), max(round(height * shrink), 1)
    transparent = frame.format.name == "pal8" or any(component.is_alpha for component in frame.format.components)
    rgb = reformat(frame, width, height, "rgba" if transparent else "rgb24", interpolation="BICUBIC").to_ndarray()
    upright = np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90) % 4))
    return to_rgb(Image.fromarray(upright)) if transparent else Image.fromarray(upright)


def square_pixels(width: int, height: int, shape: float) -> tuple[float, float]:
    """The size that shows pixels `shape` times as wide as high undistorted, without losing any."""
    if not 1 / 16 <= shape <= 16:  # no film was ever made so; a damaged header says anything
        return width, height
    return (width * shape, height) if shape >= 1 else (width, height / shape)
