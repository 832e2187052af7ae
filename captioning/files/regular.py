"""Opening a file that a person named, or saying in one line why it cannot be opened."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from captioning.errors import UserError


def open_regular(path: str | os.PathLike[str], what: str, error: type[UserError]) -> BinaryIO:
    """The file, open for reading. Raises `error` where it is missing, forbidden, a folder, a pipe or a device.

    `what` stands in messages for what the file should be, in the singular.
    """
    name = one_line(os.fspath(path))
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise error(f"{name} is a folder, not a {what}. Name the {what}s in it.")
        if not stat.S_ISREG(mode):  # a pipe would block, a device never ends
            raise error(f"{name} is not a regular file. Save the {what} to a file first.")
        return open(path, "rb")
    except FileNotFoundError as cause:
        raise error(f"{name} does not exist. Check the name and the folder.") from cause
    except PermissionError as cause:
        raise error(f"{name} may not be read (permission denied). Change its permissions.") from cause
    except (OSError, ValueError) as cause:
        raise error(f"{name} cannot be opened ({one_line(str(cause))}). Check the name.") from cause


def one_line(text: str) -> str:
    """Text that prints as one line, whatever bytes a file name was made of."""
    return text if text.isprintable() else repr(text)[1:-1]
