"""Files of strangers, read in a process of its own that has limits: of memory, of time, and of what it can reach.

A file that asks for too much, or crashes a decoder, costs that process, and its memory comes back with it. Where the
system cannot hand an open file to another process (Windows), files are read here, as those are that one trusts.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioning.errors import UserError
from captioning.files.regular import one_line, open_regular
from captioning.media.images import MAX_PIXELS, ImageError, open_image
from captioning.media.sound_file import LONGEST, SoundError, decoded
from captioning.media.sound_file import TIME_LIMIT as SECONDS_OF_SOUND
from captioning.media.video_file import MAX_PIXELS_IN_ALL, TIME_LIMIT, ClipError, VideoFile
from captioning.media.video_stream import PATIENCE

MOST_MESSAGE = 1 << 24
SLACK = 60.0  # seconds of sound that the last frame of a recording may be longer than it should
POSSIBLE = os.name == "posix" and hasattr(socket, "send_fds")
PROGRAM = """
import json, socket, sys
sys.path[:] = json.loads(sys.argv[2])
from captioning.media.reader_process import serve
serve(socket.socket(fileno=int(sys.argv[1])))
"""


class ReaderGone(Exception):
    """The process that read a file ended before it had an answer."""


class Reader:
    """The near end of one process."""

    def __init__(self) -> None:
        self.connection, far = socket.socketpair()
        self.late = False  # whether it let us wait too long
        # Nothing of this process's environment is its business; one thread each, for memory's sake.
        environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "LANG", "LC_ALL") if name in os.environ}
        path = json.dumps([os.path.abspath(place) for place in sys.path])
        with far:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", PROGRAM, str(far.fileno()), path],
                pass_fds=[far.fileno()], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def ask(self, message: dict[str, Any], file: BinaryIO | None = None) -> None:
        """Sends a message, and an open file along with it. Raises ReaderGone."""
        content = json.dumps(message).encode()
        framed = len(content).to_bytes(4, "big") + content
        try:
            sent = socket.send_fds(self.connection, [framed[:4]], [file.fileno()]) if file else 0
            self.connection.sendall(framed[sent:])
        except OSError:
            raise ReaderGone from None

    def answer(self) -> dict[str, Any]:
        """The next message. Raises ReaderGone."""
        length = int.from_bytes(self.bytes(4), "big")
        if length > MOST_MESSAGE:
            raise ReaderGone
        return json.loads(bytes(self.bytes(length)))

    def bytes(self, count: int) -> bytearray:
        """So many bytes of what it says. Raises ReaderGone, also where nothing comes for too long."""
        content = bytearray(count)
        view, done = memoryview(content), 0
        while done < count:
            try:
                got = self.connection.recv_into(view[done:])
            except TimeoutError:
                self.late, got = True, 0
            except OSError:
                got = 0
            if not got:
                raise ReaderGone
            done += got
        return content

    def picture(self, width: int, height: int) -> Image.Image:
        """Width x height pixels of what it says."""
        return Image.frombuffer("RGB", (width, height), self.bytes(3 * width * height), "raw", "RGB", 0, 1)

    def close(self) -> int:
        """Ends the process. -> what it ended with."""
        self.connection.close()
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout=0.2)
        self.process.kill()
        return self.process.wait()


class Readers:
    """Processes that are kept for the next file: as many as there are threads that read at the same time."""

    def __init__(self) -> None:
        self.idle: list[Reader] = []
        self.lock = threading.Lock()

    def prepare(self) -> None:
        """Starts one that will be ready when the first file comes."""
        if POSSIBLE:
            with self.lock:
                if not self.idle:
                    self.idle.append(Reader())

    @contextmanager
    def one(self, error: type[UserError], name: str, limit: float | None) -> Iterator[Reader]:
        """One process for one file; it goes back unless something is wrong with it.

        Raises `error` where it was ended by its limits, crashed, or let wait for PATIENCE times its `limit`.
        """
        with self.lock:
            reader = self.idle.pop() if self.idle else None
        if reader is None or reader.process.poll() is not None:
            reader = Reader()
        reader.connection.settimeout(None if limit is None else PATIENCE * limit)
        good = False
        try:
            yield reader
            good = True
        except ReaderGone:
            status = reader.close()
            if limit is not None and (reader.late or status == -signal.SIGXCPU):
                raise error(f"{name} takes more than {limit:g} seconds to read. Make it smaller.") from None
            raise error(f"{name} cannot be read: it is damaged, or takes too much memory. Make it smaller.") from None
        except UserError:
            good = True
            raise
        finally:
            if good and reader.process.poll() is None:
                with self.lock:
                    self.idle.append(reader)
            else:
                reader.close()

    def close(self) -> None:
        """Ends them all."""
        with self.lock:
            while self.idle:
                self.idle.pop().close()

    def forget(self) -> None:
        """For a process that was forked: the readers are its parent's."""
        self.lock = threading.Lock()
        for reader in self.idle:
            reader.connection.close()
            reader.process.returncode = 0  # nothing to wait for here
        self.idle.clear()


READERS = Readers()
atexit.register(READERS.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=READERS.forget)


def open_confined_image(
    path: str | os.PathLike[str], *, size: int | None = None, max_pixels: int = MAX_PIXELS, limit: float = TIME_LIMIT
) -> Image.Image:
    """As `open_image`, in a process with limits. Raises ImageError, also where it takes more than `limit` seconds."""
    if not POSSIBLE:
        return open_image(path, size=size, max_pixels=max_pixels)
    name = one_line(os.fspath(path))
    with open_regular(path, "picture", ImageError) as file, READERS.one(ImageError, name, limit) as reader:
        reader.ask({"kind": "photo", "name": name, "size": size, "max_pixels": max_pixels, "seconds": limit}, file)
        answer = _answer(reader, ImageError)
        width, height = answer["size"]
        if not 0 < width * height <= max_pixels:
            raise ReaderGone
        picture = reader.picture(width, height)
        _part(reader, answer)
        return picture


def confined_sound(path: str | os.PathLike[str], rate: int, *, limit: float = SECONDS_OF_SOUND) -> NDArray[np.float32]:
    """As `decoded`, in a process with limits. Raises SoundError, also where it takes more than `limit` seconds."""
    if not POSSIBLE:
        return decoded(Path(path), rate)
    name = one_line(os.fspath(path))
    with open_regular(path, "recording", SoundError) as file, READERS.one(SoundError, name, limit) as reader:
        reader.ask({"kind": "sound", "name": name, "rate": rate, "seconds": limit}, file)
        answer = _answer(reader, SoundError)
        if not 0 <= answer["samples"] <= (LONGEST + SLACK) * rate:
            raise ReaderGone
        samples = np.frombuffer(reader.bytes(4 * answer["samples"]), np.float32)
        _part(reader, answer)
        return samples


class ConfinedVideo(VideoFile):
    """A clip that is looked at in a process with limits."""

    def duration(self) -> float:
        """As VideoFile's."""
        found: list[float] = []

        def nothing(duration: float) -> list[float]:
            found.append(duration)
            return []

        if not POSSIBLE:
            return super().duration()
        self.look(nothing)
        return found[0]

    def look(
        self, moments: Callable[[float], Sequence[float]], *, size: int | None = None, threads: int = 1
    ) -> list[tuple[float, Image.Image]]:
        """As VideoFile's."""
        if not POSSIBLE:
            return super().look(moments, size=size, threads=threads)
        limit = None if self.time_limit is None else self.time_limit * threads
        asked = {"kind": "clip", "name": self.name, "size": size, "threads": threads, "time_limit": self.time_limit}
        with open_regular(self.path, "clip", ClipError) as file, READERS.one(ClipError, self.name, limit) as reader:
            reader.ask(asked | {"seconds": limit}, file)
            duration = _answer(reader, ClipError)["duration"]
            try:
                wanted = list(moments(duration))
            except BaseException:
                wanted = []
                raise
            finally:
                reader.ask({"moments": wanted or None})
                if not wanted:
                    _part(reader, reader.answer())
            if not wanted:
                return []
            answer = _answer(reader, ClipError)
            sizes = answer["frames"]
            if sum(width * height for _, width, height in sizes) > 2 * MAX_PIXELS_IN_ALL:
                raise ReaderGone
            frames = [(at, reader.picture(width, height)) for at, width, height in sizes]
            _part(reader, answer)
            return [frames[number] for number in answer["order"]]


def _answer(reader: Reader, error: type[UserError]) -> dict[str, Any]:
    answer = reader.answer()
    if "error" in answer:
        _part(reader, answer)
        raise error(answer["error"])
    return answer


def _part(reader: Reader, answer: dict[str, Any]) -> None:
    """Lets a process go that said that it leaves."""
    if answer.get("leaves"):
        reader.process.wait()
