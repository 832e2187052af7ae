"""Where shards lie: files here, and addresses of object stores, read and written by fsspec.

s3://, gs://, hdfs:// and their like take the packages that fsspec names for them; nothing here knows one store from
another, but for how a new file comes to be whole.
"""

from __future__ import annotations

import glob
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from captioning.errors import UserError
from captioning.files.new_file import replacing
from captioning.files.regular import one_line, open_regular
from captioning.files.terminal import harmless

PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "hdfs": "pyarrow",
    "az": "adlfs",
    "abfs": "adlfs",
}
SCHEMES = (*PACKAGES, "memory")
OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "az", "abfs")  # where an upload is there when it is complete, or not at all
ADDRESS = re.compile(rf"({'|'.join(SCHEMES)}):/+(.*)", re.DOTALL | re.IGNORECASE)
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
MOST_NAMES = 10_000_000  # that a pattern in braces may stand for


def place_of(path: str | os.PathLike[str]) -> str:
    """A path or an address as it is written: of the two strokes of an address a `Path` keeps one."""
    text = os.fspath(path)
    found = ADDRESS.fullmatch(text)
    if found is None:
        return text
    scheme, rest = found[1].lower(), found[2]
    return f"{scheme}://{rest}"


def is_remote(place: str) -> bool:
    """Whether it is an address of a store rather than a path."""
    return "://" in place and ADDRESS.fullmatch(place) is not None


def joined(folder: str, name: str) -> str:
    """A name in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else os.path.join(folder, name)


def file_system(place: str) -> tuple[Any, str]:
    """The store of an address, and the address as that knows it. Raises UserError naming the package it takes."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(place)
    except ImportError as error:
        scheme = place.partition(":")[0]
        raise UserError(f"{place}: {one_line(str(error))}. pip install {PACKAGES.get(scheme, 'fsspec')}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{place} cannot be reached ({harmless(str(error))}). Check the address.") from None


@contextmanager
def _errors_of(place: str) -> Iterator[None]:
    """What a store's client raises, which is nearly anything, as a sentence."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except FileNotFoundError:
        raise UserError(f"{place} does not exist. Check the address.") from None
    except Exception as error:
        said = harmless(" ".join(str(error).split())[:200]) or type(error).__name__
        raise UserError(f"{place} cannot be used ({said}). Check the address and what you may do there.") from error


def expanded(place: str) -> list[str]:
    """The places that `{000..099}` and `*` stand for, sorted; without either the place itself, there or not.

    Raises UserError where a pattern fits nothing.
    """
    texts = [place]
    while any(BRACES.search(text) for text in texts):
        texts = [one for text in texts for one in _counted(text)]
        if len(texts) > MOST_NAMES:
            raise UserError(f"{place} stands for more than {MOST_NAMES:,} shards. Name fewer.")
    found = []
    for text in texts:
        if not glob.has_magic(text) or (not is_remote(text) and os.path.lexists(text)):
            found.append(text)
            continue
        if is_remote(text):
            files, inside = file_system(text)
            with _errors_of(text):
                there = [files.unstrip_protocol(one) for one in sorted(files.glob(inside))]
        else:
            there = sorted(glob.glob(text))
        if not there:
            raise UserError(f"{text}: nothing fits. Check the folder and the pattern.")
        found += there
    return found


def _counted(text: str) -> list[str]:
    braces = BRACES.search(text)
    if braces is None:
        return [text]
    first, last = int(braces[1]), int(braces[2])
    if last < first or last - first >= MOST_NAMES:
        raise UserError(f"{text}: {{{braces[1]}..{braces[2]}}} counts upwards, to {MOST_NAMES:,} names at most.")
    width = len(braces[1])
    head, tail = text[: braces.start()], text[braces.end() :]
    return [f"{head}{number:0{width}}{tail}" for number in range(first, last + 1)]


@contextmanager
def opened(place: str) -> Iterator[BinaryIO]:
    """The file, which can be read from any place in it. Raises UserError where it is not there."""
    if not is_remote(place):
        with open_regular(place, "shard", UserError) as file:
            yield file
        return
    files, inside = file_system(place)
    with _errors_of(place):
        file = files.open(inside, "rb")
    with file:
        yield file


def identity(place: str) -> str | None:
    """What tells a file from one of that name before or after: size and time, or what the store says. None: no file."""
    if not is_remote(place):
        try:
            seen = os.stat(place)
        except OSError:
            return None
        return f"{seen.st_size} {seen.st_mtime_ns}"
    files, inside = file_system(place)
    try:
        about = files.info(inside)
    except FileNotFoundError:
        return None
    except Exception as error:
        raise UserError(f"{place} cannot be looked at ({harmless(str(error)[:200])}). Check the address.") from error
    times = [about.get(name) for name in ("ETag", "etag", "mtime", "LastModified", "updated", "created")]
    return f"{about.get('size')} {next((str(one) for one in times if one), '')}".strip()


def read_all(place: str) -> bytes | None:
    """The content of a small file; None where there is none."""
    if identity(place) is None:
        return None
    with opened(place) as file:
        return file.read()


def names_in(folder: str) -> set[str]:
    """The names of the files in a folder; none where there is no folder."""
    if not is_remote(folder):
        try:
            return set(os.listdir(folder))
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise UserError(f"{folder} cannot be read ({error.strerror}). Choose another folder.") from None
    files, inside = file_system(folder)
    files.invalidate_cache(inside)
    try:
        return {one.rstrip("/").rpartition("/")[2] for one in files.ls(inside, detail=False)}
    except FileNotFoundError:
        return set()
    except Exception as error:
        raise UserError(f"{folder} cannot be read ({harmless(str(error)[:200])}). Check the address.") from error


@contextmanager
def whole_file(place: str) -> Iterator[BinaryIO]:
    """A new file that is at `place` when the block ends well, whole, and nowhere when it does not.

    Here it is renamed. To a store it is sent when it is complete, and renamed where an upload could be seen half.
    """
    if not is_remote(place):
        try:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as file:
                yield file
        except OSError as error:
            raise UserError(f"{place} cannot be written ({error.strerror}). Choose another place for it.") from error
        return
    files, inside = file_system(place)
    with tempfile.TemporaryDirectory(prefix="captioning-") as folder:
        part = Path(folder, "part")
        with open(part, "wb") as file:
            yield file
        with _errors_of(place):
            if place.partition(":")[0] in OBJECT_STORES:
                files.put_file(str(part), inside)
                return
            files.makedirs(inside.rpartition("/")[0], exist_ok=True)
            temporary = f"{inside}.{os.urandom(8).hex()}.part"
            try:
                files.put_file(str(part), temporary)
                files.mv(temporary, inside)
            except BaseException:
                with suppress(Exception):
                    files.rm(temporary)
                raise
