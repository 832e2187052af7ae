"""Whether what is about to be written will find room."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from captioning.errors import UserError


def require_room(folder: str | Path, needed: int, what: str, remedy: str) -> None:
    """Raises UserError unless `folder`, or the nearest one above it, can be written and has `needed` bytes free.

    `what` says what the room is for, `remedy` how else it can be found.
    """
    folder = Path(folder).absolute()
    above = next(path for path in (folder, *folder.parents) if path.exists())
    probe = above / f".{uuid.uuid4().hex}.part"
    try:
        probe.touch(
            exist_ok=False
        )  # asking for permissions is not enough: root has them all, and a file system may be read-only
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}). {remedy}") from error
    finally:
        with suppress(OSError):
            os.unlink(probe)
    free = shutil.disk_usage(above).free
    if free < needed:
        raise UserError(
            f"{folder}: {size_in_words(needed)} are needed for {what}, and {size_in_words(free)} are free. {remedy}"
        )


def size_in_words(count: int) -> str:
    """1.5 GB of 1,500,000,000."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
