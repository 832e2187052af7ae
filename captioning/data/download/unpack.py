"""Archives of others, unpacked so that nothing lands outside the folder and no half file has its final name."""

from __future__ import annotations

import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from captioning.data.download.archives import Archive
from captioning.errors import UserError
from captioning.files.disk_space import require_room
from captioning.files.new_file import replacing
from captioning.files.terminal import harmless, has_controls

# What the readers of archives raise: of a wrong password, too, and of names that are no text.
DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError,
    ValueError, struct.error, OverflowError, MemoryError,
)  # fmt: skip

Member = tuple[str, int, Callable[[], IO[bytes]]]  # name, bytes, how to open it


def unpack(file: Path, archive: Archive, root: Path, progress: Callable[[int, int], None] | None = None) -> int:
    """Unpacks a .zip or .tar under `root`, leaving out files that are there in their full size. -> files written.

    Raises UserError where the archive is damaged, a member would land outside `root`, or there is no room.
    """
    try:
        with _opened(file) as members:
            places = [(place, size, reader) for name, size, reader in members if (place := _place(name, archive, file))]
            todo = [one for one in places if not _is_there(root / one[0], one[1])]
            needed = sum(size for _, size, _ in todo)
            require_room(root, needed, f"unpacking {file.name}", "Make room, and run it again.")
            for done, (place, _, reader) in enumerate(todo, 1):
                _write(root / place, reader)
                if progress:
                    progress(len(places) - len(todo) + done, len(places))
    except DAMAGED as error:
        reason = harmless(" ".join(str(error).split())[:200]) or type(error).__name__
        raise UserError(f"{file} is damaged ({reason}). Delete it, and download it again.") from error
    except OSError as error:
        raise UserError(f"{file} cannot be unpacked into {root} ({error.strerror or error}).") from error
    return len(todo)


@contextmanager
def _opened(file: Path) -> Iterator[list[Member]]:
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            if any(member.flag_bits & 1 for member in members):
                raise UserError(
                    f"{file} is encrypted: it is not the official archive. Delete it, and download it again."
                )
            yield [(m.filename, m.file_size, lambda m=m: opened.open(m)) for m in members]
    else:
        with tarfile.open(file) as opened:  # links and devices are nothing that a data set needs
            yield [(m.name, m.size, lambda m=m: opened.extractfile(m)) for m in opened.getmembers() if m.isreg()]


def _place(name: str, archive: Archive, file: Path) -> str | None:
    """Where a member goes, from the root; None for one that is not wanted."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or has_controls(name):
        raise UserError(f"{file}: it has a member of the name {harmless(name[:80])!r}. It is not the official archive.")
    if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0]:
        raise UserError(f"{file}: its member {name!r} would land outside the folder. It is not the official archive.")
    if archive.flat:
        return path.name if path.name in archive.holds else None
    return None if path.parts[0] == "__MACOSX" else str(path)


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _write(path: Path, reader: Callable[[], IO[bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with reader() as source, replacing(path) as target:
        shutil.copyfileobj(source, target, 1 << 20)
