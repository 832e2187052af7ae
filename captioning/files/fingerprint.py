"""What tells one file, or folder of files, from another: its place, size and time of change, or its content."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def fingerprint(path: str | os.PathLike[str]) -> str | None:
    """Place, size and time of change, nothing being read. None where nothing is there."""
    try:
        return " ".join(f"{os.path.realpath(one)}|{seen.st_size}|{seen.st_mtime_ns}" for one, seen in _files(path))
    except OSError:
        return None


def content(path: str | os.PathLike[str]) -> str | None:
    """A digest of all bytes, wherever they lie. None where they cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        for one, seen in _files(path):
            digest.update(f"{seen.st_size} ".encode())
            with open(one, "rb", buffering=0) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()
    except OSError:
        return None


def _files(path: str | os.PathLike[str]) -> Iterator[tuple[Path, os.stat_result]]:
    """A file, or what lies directly in a folder, by name. Raises OSError for what is neither."""
    path = Path(path)
    seen = os.stat(path)
    if stat.S_ISDIR(seen.st_mode):
        for one in sorted(path.iterdir()):
            inside = one.stat()
            if stat.S_ISREG(inside.st_mode):
                yield one, inside
    elif stat.S_ISREG(seen.st_mode):
        yield path, seen
    else:
        raise OSError(f"{path} is no file")
