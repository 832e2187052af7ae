"""Photos and clips that are no files yet: from standard input, or from an address of the web."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from captioning.commands.caption_files import ArrivedFile
from captioning.errors import UserError
from captioning.files.terminal import complain

SCHEMES = ("http", "https")
MAX_BYTES = 200 * 2**20
SECONDS = 60.0  # that all of a file may take to come
WAIT = 15.0  # seconds without a byte


class _SameSchemes(HTTPRedirectHandler):
    """Goes where an address says the file is now, as long as that is on the web as well."""

    def redirect_request(self, request, file, code, message, headers, address):
        if urlsplit(address).scheme not in SCHEMES:
            raise URLError(f"it leads to {address[:80]!r}")
        return super().redirect_request(request, file, code, message, headers, address)


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
    try:
        opener = build_opener(_SameSchemes)
        with opener.open(Request(name, headers={"User-Agent": "captioning"}), timeout=WAIT) as answer:
            _copy(answer, place, name, time.monotonic() + SECONDS)
    except (OSError, ValueError) as error:  # no such host, no answer, an answer that is an error, a wrong address
        raise UserError(f"{name} cannot be fetched ({error}). Check the address.") from None


def _copy(source: BinaryIO, place: Path, name: str, deadline: float | None) -> None:
    size = 0
    with open(place, "wb") as file:
        while part := source.read(1 << 16):
            size += len(part)
            if size > MAX_BYTES:
                raise UserError(f"{name} has more than {MAX_BYTES >> 20} MB. Save it to a file and name that.")
            if deadline is not None and time.monotonic() > deadline:
                raise UserError(f"{name} takes more than {SECONDS:g} seconds to come. Save it to a file and name that.")
            file.write(part)
    if not size:
        raise UserError(f"{name} is empty (0 bytes). Send a photo or a clip.")
