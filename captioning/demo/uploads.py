"""What strangers send to a web page: looked at without trust, and refused in a sentence."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from PIL import Image

from captioning.errors import UserError
from captioning.files.regular import one_line
from captioning.media.confined import open_confined_image
from captioning.media.kinds import is_clip, is_moving

MAX_BYTES = 50 * 2**20
MOST_NAME = 80  # letters of a file's name that are said
MAX_PIXELS = 50_000_000  # 0.2 GB as Pillow holds RGB; the cameras of telephones have as many


def checked_upload(upload: str | os.PathLike[str] | None) -> Path:
    """The file of a photo or a clip, small enough to be opened.

    Raises UserError, a sentence that tells a visitor nothing of this machine's folders.
    """
    if not upload:
        raise UserError("Choose a photo or a clip first.")
    path = Path(upload)
    try:
        status = path.stat()
    except (OSError, ValueError):
        raise UserError("The upload did not arrive. Send it again.") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError("That is not a file. Choose a photo or a clip.")
    if status.st_size > MAX_BYTES:
        size = status.st_size / 2**20
        raise UserError(f"{short(path.name)} has {size:.0f} MB, more than {MAX_BYTES >> 20}. Make it smaller.")
    return path


def photo_in(path: Path, *, size: int, moving: bool = False) -> Image.Image | None:
    """The photo in an upload, decoded this once, in a process with limits; None of a clip.

    `size` as `open_image` has it; where it is `moving` that is asked for, a GIF of several frames is a clip. Raises
    UserError.
    """
    if (is_moving if moving else is_clip)(path):
        return None
    return open_confined_image(path, size=size, max_pixels=MAX_PIXELS)


def for_visitors(error: Exception, path: Path) -> str:
    """An error's sentence with the name of the file, and not with its place on this machine."""
    return str(error).replace(one_line(str(path)), short(one_line(path.name)))


def short(name: str) -> str:
    """A name that leaves room for a sentence."""
    return name if len(name) <= MOST_NAME else f"{name[:MOST_NAME]}..."
