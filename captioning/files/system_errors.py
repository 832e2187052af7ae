"""What the system refuses for reasons that only a person can mend: no room, no permission, a closed door."""

from __future__ import annotations

import errno

from captioning.files.terminal import harmless

_NAMES = (
    "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE", "ENFILE", "ENOTDIR", "EISDIR",
    "ENAMETOOLONG", "ELOOP", "EBADF", "ENODEV", "ENXIO", "ESTALE", "ETXTBSY",
)  # fmt: skip
ROOM = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
OUTSIDE = {getattr(errno, name) for name in _NAMES if hasattr(errno, name)}


def in_words(error: OSError, *, otherwise: str = "a file") -> str | None:
    """A sentence with the remedy; None for an error that is likelier a bug. `otherwise` stands for a name not given."""
    if error.errno not in OUTSIDE:
        return None
    place = error.filename2 or error.filename
    if isinstance(place, bytes):
        place = place.decode("utf-8", "backslashreplace")
    remedy = "Make room" if error.errno in ROOM else "Look at its permissions"
    where = harmless(str(place)) if place is not None else otherwise
    return f"{where} cannot be used ({error.strerror}). {remedy}, or choose another place."
