"""Files that nobody else can have prepared: made new, under a name that cannot be guessed, following no link."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def create(path: str | os.PathLike[str], mode: str = "wb", **options: Any) -> IO[Any]:
    """A new file, open for writing. Raises FileExistsError where anything of that name is there, a link included."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CREAT | os.O_EXCL | NO_LINKS, 0o666)

    return open(path, mode, opener=opener, **options)


@contextmanager
def replacing(path: str | os.PathLike[str], mode: str = "wb", **options: Any) -> Iterator[IO[Any]]:
    """A new file that takes the place of `path` when the block ends well, and vanishes when it does not."""
    path = Path(path)
    part = path.with_name(f".{path.name[:200]}.{uuid.uuid4().hex}.part")
    try:
        with create(part, mode, **options) as file:
            yield file
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def private_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, made where it is not there, for its owner alone: what is kept in it is believed later.

    Raises PermissionError where it belongs to somebody else, or others may write into it.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if hasattr(os, "getuid"):
        status = os.stat(path)
        if status.st_uid not in (os.getuid(), 0):
            raise PermissionError(1, "it belongs to another user", str(path))
        if status.st_mode & 0o077:
            path.chmod(status.st_mode & 0o700)
    return path
