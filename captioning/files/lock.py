"""One writer at a time: a lock that ends with its process, however that ends, and says who has it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from captioning.errors import UserError
from captioning.files.new_file import NO_LINKS
from captioning.files.regular import one_line

_HELD: set[int] = set()  # descriptors of this process


def _leave_to_parent() -> None:
    """In a forked process: the locks are its parent's, and end with that."""
    for descriptor in _HELD:
        with suppress(OSError):
            os.close(descriptor)
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


@contextmanager
def locked(path: str | os.PathLike[str], remedy: str) -> Iterator[None]:
    """Keeps other processes from what `path` names, by a file `.NAME.lock` beside it, while the block runs.

    Raises UserError naming the process that has it, or saying that nothing can be written there. Where the file system
    knows no locks there is none.
    """
    path = Path(os.path.abspath(path))
    place = path.with_name(f".{path.name[:200]}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = _acquired(place, path, remedy)
    except OSError as error:
        raise UserError(f"{one_line(str(path))} cannot be written ({error.strerror}). {remedy}") from error
    _HELD.add(held)
    try:
        yield
    finally:
        if held in _HELD:
            _HELD.remove(held)
            with suppress(OSError):
                place.unlink()
            os.close(held)  # the lock goes with it


def _acquired(place: Path, path: Path, remedy: str) -> int:
    """The descriptor of the lock file, locked, which says who has it."""
    while True:
        held = os.open(place, os.O_RDWR | os.O_CREAT | NO_LINKS, 0o644)
        try:
            if not _lock(held):
                owner = os.pread(held, 200, 0).decode("utf-8", "replace").strip()
                raise UserError(
                    f"{one_line(str(path))} is being written by {one_line(owner) or 'another process'}. {remedy}"
                )
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(place), os.fstat(held)):  # it may have been let go, and removed, meanwhile
                    since = datetime.now().strftime("%Y-%m-%d %H:%M")
                    os.ftruncate(held, 0)
                    os.write(held, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode())
                    return held
        except BaseException:
            os.close(held)
            raise
        os.close(held)


def _lock(descriptor: int) -> bool:
    """Whether nobody else has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True
