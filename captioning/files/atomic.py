"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from captioning.errors import UserError
from captioning.files.new_file import replacing


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}). Choose another place for it.") from error
    return path
