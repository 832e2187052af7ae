"""The frames of one video stream in order of time, from any moment on, none of them decoded without need."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO

import av

from captioning.media.sample_tables import check_sample_tables

# Containers of one clip each, by FFmpeg's names. Nothing is opened that names other files, addresses or devices
# (playlists, lists, scripts, session descriptions, streams), and no subtitles, whatever a file is called.
CONTAINERS = (
    "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpeg", "mpegts", "mpegvideo", "m4v", "h264",
    "hevc", "asf", "flv", "ogg", "gif", "apng", "rm", "mxf", "ivf", "dv", "yuv4mpegpipe", "wav", "mp3", "aac", "flac",
)  # fmt: skip
# The last four hold sound alone, and are known so that they can be called that.

PATIENCE = 6
LOOKAHEAD = 16  # packets: more than any codec changes the order of
LOOKAHEAD_BYTES = 32 * 2**20
USUAL_GAP = 5.0  # seconds between key frames, where a file does not tell
BACK_OFF = (0.0, 1.0, 4.0, 16.0)  # seconds to go back further, where a key frame turned out to come too late
# Of these codecs a frame that no other refers to can be left out without a change to any other.
SKIPPABLE = ("h264", "mpeg4", "mpeg2video", "mpeg1video", "msmpeg4v3", "wmv3", "vc1")
HELD_BACK = 4  # frames that come out of a decoder after ones that went in later; H.264 allows 16, encoders keep to 4


class TimeUp(Exception):
    """The time that reading a file may take has passed."""


class WatchedFile:
    """A file that is not read any more once the time is up, so that nothing inside FFmpeg goes on for ever.

    What counts is the time this thread works, so that a clip is not given up because the machine is busy with other
    things; PATIENCE times as much may pass on the clock, with a slow disk, say.
    """

    def __init__(self, file: BinaryIO, time_limit: float | None, clock: Callable[[], float] = time.thread_time):
        self.file, self.time_limit, self.clock = file, time_limit, clock
        self.started, self.began = clock(), time.monotonic()
        self.next_look = self.began

    @property
    def wall_limit(self) -> float | None:
        """Seconds on the clock."""
        return None if self.time_limit is None else self.time_limit * PATIENCE

    def check(self) -> None:
        """Raises TimeUp."""
        if self.time_limit is None or time.monotonic() < self.next_look:
            return
        now, left = time.monotonic(), self.time_limit - (self.clock() - self.started)
        if left < 0 or now - self.began > self.wall_limit:
            raise TimeUp
        self.next_look = now + left  # a thread cannot have worked it off before

    def read(self, count: int) -> bytes:
        self.check()
        return self.file.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        self.check()
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


@dataclass(frozen=True, slots=True)
class ShownFrame:
    """A decoded frame (av.VideoFrame), the tick of its stream at which it begins, and seconds from the first."""

    tick: int
    seconds: float
    video: Any


class NoVideo(Exception):
    """A file that holds sound, text or pictures, but no video."""


@contextmanager
def open_stream(file: BinaryIO, *, time_limit: float | None, threads: int, max_pixels: int) -> Iterator[Stream]:
    """The first video stream of an open file.

    Raises NoVideo, TimeUp, ImpossibleTables, and whatever PyAV does of a damaged file.
    """
    check_sample_tables(file)
    clock = time.thread_time if threads == 1 else time.monotonic  # with several, this one mostly waits
    stream = Stream(WatchedFile(file, time_limit, clock), threads, max_pixels)
    try:
        stream.measure()
        yield stream
    finally:
        stream.container.close()


class Stream:
    """Frames by time. Ticks are units of `tick` seconds, as they are in the file."""

    def __init__(self, watched: WatchedFile, threads: int, max_pixels: int):
        self.watched, self.threads, self.max_pixels = watched, threads, max_pixels
        self.trouble: Exception | None = None  # why the last packet that could not be decoded could not be
        self.gap = USUAL_GAP
        self.shown: ShownFrame | None = None  # the frame that shows at the moment last asked for
        self._open()

    def measure(self) -> None:
        """Finds the first tick and the duration in seconds, as they are and not as the header says."""
        self._fill()
        times = [packet.pts for packet in self.queue if packet.size and not packet.is_discard]
        self.timed = bool(times) and None not in times
        rate = float(self.video.guessed_rate or self.video.average_rate or 25)
        self.tick = float(self.video.time_base if self.timed else 1 / rate)
        self.first = min(times) if self.timed else 0
        end = self._end_by_seeking() if self.timed else None
        if end is None:
            end = self._end_by_reading()
        self.duration = (end[0] - self.first + (end[1] or 1 / rate / self.tick)) * self.tick

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame as it is stored."""
        return self.video.width, self.video.height

    @property
    def pixel_shape(self) -> float:
        """How many times as wide as high a pixel is meant to be seen."""
        return float(self.video.sample_aspect_ratio or 1)

    def at(self, moment: float) -> ShownFrame | None:
        """The last frame that begins by this many seconds from the first, else the first; moments have to ascend.

        None where no frame can be decoded.
        """
        tick = self.first + int(moment / self.tick + 1e-3)
        if self.timed and self._worth_a_jump(tick):
            self._jump(tick)
        while True:
            while self.frames and self.frames[0].tick <= tick:
                frame = self.frames.popleft()
                if self.shown is None or frame.tick >= self.shown.tick:
                    self.shown = frame
            if self.frames or not self._decode(tick):
                break
        return self.shown or (self.frames[0] if self.frames else None)

    def _open(self) -> None:
        def refuse(*_: Any) -> None:
            raise PermissionError("it refers to other files")

        self.watched.seek(0)
        # FFmpeg counts the margins too, and hides the size of what it refuses; the limit itself is for who asks `size`.
        limit = {"max_pixels": str(4 * self.max_pixels)}
        # Three doors for one thing, because a format may go around some of them: what is opened is this file alone.
        closed = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none", "enable_drefs": "0"}
        self.container = av.open(self.watched, timeout=self.watched.wall_limit, io_open=refuse, options=limit | closed)
        attached = av.stream.Disposition.attached_pic  # the cover of a song
        videos = [video for video in self.container.streams.video if not video.disposition & attached]
        if not videos:
            raise NoVideo
        self.video = videos[0]
        self.codec = self.video.codec_context
        self.codec.thread_type, self.codec.thread_count = ("AUTO", self.threads) if self.threads > 1 else ("NONE", 1)
        self.codec.options = limit
        self.held_back = HELD_BACK if self.container.format.name == "avi" else 0
        self._begin()

    def _reopen(self) -> None:
        self.container.close()
        self._open()

    def _begin(self) -> None:
        """Reads on from where the container stands."""
        self.packets = self.container.demux(self.video)
        self.queue: deque[Any] = deque()  # packets that are not decoded yet, of `held` bytes
        self.held = 0
        self.frames: deque[ShownFrame] = deque()  # decoded, and later than the one shown
        self.fed: int | None = None  # the latest tick of a packet decoded
        self.number = 0

    def _read(self) -> Any:
        """The next packet; None at the end, or where the file is damaged so that nothing comes after."""
        self.watched.check()
        try:
            return next(self.packets, None)
        except av.FFmpegError as error:
            self.trouble = error
            return None

    def _fill(self) -> None:
        while len(self.queue) < LOOKAHEAD and self.held < LOOKAHEAD_BYTES and (packet := self._read()) is not None:
            self.held += packet.size
            self.queue.append(packet)

    def _end_by_seeking(self) -> tuple[int, int] | None:
        """(tick, duration in ticks) of the last packet; None where the file's own idea of its end leads nowhere."""
        claimed = self.video.duration or (self.container.duration or 0) / av.time_base / self.tick
        try:
            # A second earlier, because packets are not quite in the order of their times.
            self.container.seek(max(self.first + int(claimed - 1 / self.tick), self.first), stream=self.video)
        except av.FFmpegError:
            return None
        self._begin()
        end = self._latest()
        self._begin()
        return end

    def _end_by_reading(self) -> tuple[int, int]:
        """The same, once every packet has been read. Raises EOFError where there is none."""
        self._reopen()
        end = self._latest()
        if end is None:
            raise EOFError("it holds no frames")
        self._reopen()
        return end

    def _latest(self) -> tuple[int, int] | None:
        """(tick, duration in ticks) of the latest packet from here on."""
        latest: tuple[int, int] | None = None
        while (packet := self._read()) is not None:
            if not packet.size:
                continue
            length = (packet.duration or 0) if self.timed else 1
            at = packet.pts if self.timed else None
            if at is None:  # the last of a transport stream do not tell
                at = sum(latest) if latest else self.first
            if latest is None or at > latest[0]:
                latest = (at, length)
        return latest if latest and latest[0] >= self.first else None

    def _decode(self, tick: int) -> bool:
        """Decodes one more packet, if it is needed for what shows at `tick`. False at the end."""
        self._fill()
        if not self.queue:
            return False
        packet = self.queue.popleft()
        self.held -= packet.size
        if self.timed and self.codec.name in SKIPPABLE:
            self.codec.skip_frame = "NONREF" if self._outshone(packet, tick) else "DEFAULT"
        try:
            frames = packet.decode()
        except (av.FFmpegError, EOFError) as error:
            self.trouble = error
            frames = []
        if packet.size and packet.pts is not None:
            self.fed = packet.pts if self.fed is None else max(self.fed, packet.pts)
        for frame in frames:
            at = frame.pts if self.timed else self.number
            self.number += 1
            if at is not None:
                self.frames.append(ShownFrame(at, (at - self.first) * self.tick, frame))
        return True

    def _outshone(self, packet: Any, tick: int) -> bool:
        """Whether another frame shows at `tick`: a later one that begins by then.

        An AVI counts frames as they are stored, so that one may come out behind any of the HELD_BACK next ones.
        """
        if packet.pts is None:
            return False
        later = (True for other in self.queue if other.pts is not None and packet.pts < other.pts <= tick)
        return any(islice(later, self.held_back, None))

    def _worth_a_jump(self, tick: int) -> bool:
        """Whether a key frame lies between what was decoded and `tick`; where the file does not tell, by distance."""
        if self.fed is None:
            return True
        if tick <= self.fed:
            return False
        index = getattr(self.video, "index_entries", ())  # PyAV before 17 keeps it to itself
        if len(index):
            at = index.search_timestamp(tick, backward=True)
            if at >= 0 and index[at].timestamp > self.fed:
                return True
            if index[len(index) - 1].timestamp >= tick:
                return False
        return (tick - self.fed) * self.tick > self.gap

    def _jump(self, tick: int) -> None:
        """Goes on from the last key frame by `tick`."""
        fed = self.fed
        for back in BACK_OFF:
            start = max(tick - int(back / self.tick), self.first)
            try:
                self.container.seek(start, stream=self.video)
                self._begin()
            except av.FFmpegError:  # a file without an index, say
                break
            while not self.frames and self._decode(tick):
                pass
            if self.frames and self.frames[0].tick <= tick:
                if fed is not None and self.frames[0].tick <= fed:
                    self.gap *= 2  # it went back over what had been decoded
                return
            if start <= self.first:
                break
        self._reopen()
