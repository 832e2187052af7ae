"""Photos and clips that are no files yet: from standard input, or from an address of the web."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from captioning.commands.caption_files import ArrivedFile
from captioning.errors import UserError
from captioning.files.terminal import complain
from captioning.files.web import MAX_BYTES, SCHEMES, SECONDS, answered, portions


@contextmanager
def arrivals(paths: Iterable[Path]) -> Iterator[tuple[list[Path], int]]:
    """`paths` with `-` and addresses replaced by files that last as long as the context, and 1 where one did not come.

    What did not come is named on standard error. A file that is called `-` or like an address is that file.
    """
    with TemporaryDirectory(prefix="captioning-") as folder:
        files, failed = [], 0
        for number, path in enumerate(paths):
            name = address_of(path)
            if name is None or path.exists():
                files.append(path)
                continue
            place = ArrivedFile(Path(folder, str(number)), shown=name)
            try:
                _receive(name, place)
                files.append(place)
            except UserError as error:
                complain(error)
                failed = 1
        yield files, failed


def address_of(path: Path) -> str | None:
    """The address that a path stands for, "-" for standard input, None for a path that is one."""
    text = str(path)
    if text == "-":
        return text
    scheme, mark, rest = text.partition(":/")  # of the two strokes a path keeps one
    return f"{scheme.lower()}://{rest.lstrip('/')}" if mark and scheme.lower() in SCHEMES else None


def _receive(name: str, place: Path) -> None:
    if name == "-":
        _copy(sys.stdin.buffer, place, "standard input", None)
        return
    with answered(name) as answer:
        _copy(answer, place, name, SECONDS)


def _copy(source: BinaryIO, place: Path, name: str, seconds: float | None) -> None:
    with open(place, "wb") as file:
        for part in portions(source, name, most=MAX_BYTES, seconds=seconds):
            file.write(part)
