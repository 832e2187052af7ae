"""Archives of others, unpacked so that nothing lands outside the folder and no half file has its final name."""

from __future__ import annotations

import os
import shutil
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
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, NotImplementedError) as error:
        raise UserError(f"{file} is damaged ({error}). Delete it, and download it again.") from error
    except OSError as error:
        raise UserError(f"{file} cannot be unpacked into {root} ({error.strerror or error}).") from error
    return len(todo)


@contextmanager
def _opened(file: Path) -> Iterator[list[Member]]:
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as opened:
            yield [(m.filename, m.file_size, lambda m=m: opened.open(m)) for m in opened.infolist() if not m.is_dir()]
    else:
        with tarfile.open(file) as opened:  # links and devices are nothing that a data set needs
            yield [(m.name, m.size, lambda m=m: opened.extractfile(m)) for m in opened.getmembers() if m.isreg()]


def _place(name: str, archive: Archive, file: Path) -> str | None:
    """Where a member goes, from the root; None for one that is not wanted."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0]:
        raise UserError(f"{file}: its member {name!r} would land outside the folder. It is not the official archive.")
    if archive.flat:
        return path.name if path.name in archive.holds else None
    return None if path.parts[0] == "__MACOSX" else str(path)


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _write(path: Path, reader: Callable[[], IO[bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with reader() as source, part.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    os.replace(part, path)
