"""What a process opens while something runs: files, and sockets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

NETWORK = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen")
_WATCHERS: list[tuple[list[str], list[str]]] = []


def _hook(event: str, arguments: tuple) -> None:
    for files, sockets in _WATCHERS:
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            files.append(os.path.realpath(os.fsdecode(arguments[0])))
        elif event in (
            "socket.connect",
            "socket.bind",
            "socket.getaddrinfo",
            "socket.gethostbyname",
            "subprocess.Popen",
        ):
            sockets.append(event)


sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[tuple[list[str], list[str]]]:
    """(paths that Python opens, events of the network) while the block runs."""
    found: tuple[list[str], list[str]] = ([], [])
    _WATCHERS.append(found)
    try:
        yield found
    finally:
        _WATCHERS.remove(found)
