"""What strangers send to a web page: looked at without trust, and refused in a sentence."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from captioning.errors import UserError
from captioning.media.images import check_image

MAX_BYTES = 50 * 2**20
MAX_PIXELS = 50_000_000  # 0.2 GB as Pillow holds RGB; the cameras of telephones have as many
CLIP_ENDINGS = (".mp4", ".webm", ".mov", ".avi", ".mkv", ".m4v", ".mpg", ".mpeg")


def checked_upload(upload: str | os.PathLike[str] | None) -> Path:
    """The file of a photo or a clip, small enough to be opened.

    A photo is known by its content, whatever its name; it is decoded at a small scale to see that it is whole. A clip
    is known by its ending. Raises UserError, a sentence that tells a visitor nothing of this machine's folders.
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
        raise UserError(f"{path.name} has {size:.0f} MB, more than {MAX_BYTES >> 20}. Make it smaller.")
    if path.suffix.lower() not in CLIP_ENDINGS:
        try:
            check_image(path, decode=True, max_pixels=MAX_PIXELS)
        except UserError as error:
            raise UserError(for_visitors(error, path)) from None
    return path


def for_visitors(error: Exception, path: Path) -> str:
    """An error's sentence with the name of the file, and not with its place on this machine."""
    return str(error).replace(str(path), path.name)
