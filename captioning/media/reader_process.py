"""A process that reads photos, clips and sounds for another one, and can do nothing else: the far end of `confined`.

It is handed one open file at a time over a socket, may open no other, write none, and has limits of memory and of
time. What it says is numbers and pixels; nobody unpickles anything.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pkgutil
import resource
import signal
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from PIL import Image

from captioning.errors import UserError
from captioning.media.images import open_image
from captioning.media.sound_file import decoded_file
from captioning.media.video_file import VideoFile

LENGTH = struct.Struct(">I")
MOST_MEMORY = 2 << 30  # bytes of address space beyond what the process begins with
MUCH = 256 << 10  # kB: a process that came to hold more gives it back by ending
MOST_MESSAGE = 1 << 24
GRACE = 2  # seconds of work above the limit, after which the kernel ends what did not end itself


@dataclass(frozen=True)
class OpenVideo(VideoFile):
    """A clip that has been opened by somebody else. Its path is only a name."""

    file: BinaryIO | None = None

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        yield self.file


def send(connection: socket.socket, message: dict[str, Any], *pixels: bytes) -> None:
    """A message with its length in front, and bytes that it tells the length of behind it."""
    content = json.dumps(message).encode()
    connection.sendall(LENGTH.pack(len(content)) + content)
    for part in pixels:
        connection.sendall(part)


def receive(connection: socket.socket) -> tuple[dict[str, Any], int | None]:
    """The next message, and the file that came with it. Raises EOFError where the other end is gone."""
    head, files, _, _ = socket.recv_fds(connection, LENGTH.size, 1)
    head += exactly(connection, LENGTH.size - len(head))
    (length,) = LENGTH.unpack(head)
    if length > MOST_MESSAGE:
        raise EOFError
    return json.loads(bytes(exactly(connection, length))), files[0] if files else None


def exactly(connection: socket.socket, count: int) -> bytearray:
    """So many bytes. Raises EOFError."""
    content = bytearray(count)
    view, done = memoryview(content), 0
    while done < count:
        got = connection.recv_into(view[done:])
        if not got:
            raise EOFError
        done += got
    return content


def serve(connection: socket.socket) -> None:
    """Reads what it is handed until the other end goes away, or it has come to hold much memory."""
    _settle()
    while True:
        try:
            asked, descriptor = receive(connection)
        except (EOFError, OSError):
            return
        raw = io.FileIO(descriptor, "rb")
        raw.name = asked["name"]
        _give_seconds(asked["seconds"])
        with io.BufferedReader(raw) as file:
            try:
                read = {"photo": _photo, "clip": _clip, "sound": _sound}[asked["kind"]]
                answer, pixels = read(connection, file, asked)
            except UserError as error:
                answer, pixels = {"error": str(error)}, ()
            except EOFError:
                return
            except MemoryError:
                answer, pixels = {"error": f"{asked['name']} takes too much memory to read. Make it smaller."}, ()
        leaves = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > MUCH
        send(connection, answer | {"leaves": leaves}, *pixels)
        if leaves:
            return


def _photo(connection: socket.socket, file: BinaryIO, asked: dict[str, Any]) -> tuple[dict[str, Any], Sequence[bytes]]:
    picture = open_image(file, size=asked["size"], max_pixels=asked["max_pixels"])
    return {"size": picture.size}, [picture.tobytes()]


def _clip(connection: socket.socket, file: BinaryIO, asked: dict[str, Any]) -> tuple[dict[str, Any], Sequence[bytes]]:
    def moments(duration: float) -> list[float]:
        send(connection, {"duration": duration})
        wanted = receive(connection)[0]["moments"]
        if wanted is None:
            raise UserError("no more is wanted")
        return wanted

    video = OpenVideo(Path(asked["name"]), asked["time_limit"], file=file)
    seen = video.look(moments, size=asked["size"], threads=asked["threads"])
    frames: dict[float, Image.Image] = dict(seen)
    places = {at: number for number, at in enumerate(frames)}
    sizes = [[at, *picture.size] for at, picture in frames.items()]
    return {"frames": sizes, "order": [places[at] for at, _ in seen]}, [one.tobytes() for one in frames.values()]


def _sound(connection: socket.socket, file: BinaryIO, asked: dict[str, Any]) -> tuple[dict[str, Any], Sequence[bytes]]:
    samples = decoded_file(file, asked["name"], asked["rate"])
    return {"samples": len(samples)}, [samples.astype(np.float32, copy=False).tobytes()]


def _settle() -> None:
    """Takes away from this process what it will not need."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the other end of the connection does
    Image.init()
    # What is imported only when a file asks for it could not be opened then.
    late = [module.name for module in pkgutil.walk_packages(av.__path__, "av.") if "__main__" not in module.name]
    for name in (*late, "encodings.latin_1", "encodings.utf_16", "encodings.ascii", "encodings.cp437"):
        importlib.import_module(name)
    limits = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
    if sys.platform.startswith("linux"):
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limits[resource.RLIMIT_AS] = held + MOST_MEMORY
        # One more file than are open now: while it looks at the one that it was handed, there is none to be had.
        limits[resource.RLIMIT_NOFILE] = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))


def _give_seconds(seconds: float | None) -> None:
    """The kernel ends this process when it has worked so long from now."""
    if seconds is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime + seconds) + GRACE
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
