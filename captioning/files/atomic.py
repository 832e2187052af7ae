"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from captioning.errors import UserError


def unused_name(stem: str, taken: set[str]) -> str:
    """`stem`, numbered where it is among the names `taken`, of which it becomes one."""
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name


def write_whole(path: str | Path, text: str) -> Path:
    """Writes a text file, and the folders above it; a crash leaves the former file or none, never half of one.

    Raises UserError naming the file where it cannot be written.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise UserError(f"{path} cannot be written ({error.strerror}). Choose another place for it.") from error
    return path
