"""What comes from an address of the web, or from standard input: with limits of bytes and of time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from captioning.errors import UserError

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
def answered(address: str) -> Iterator[BinaryIO]:
    """What an address of the web answers, open for reading. Raises UserError where it does not."""
    try:
        opener = build_opener(_SameSchemes)
        with opener.open(Request(address, headers={"User-Agent": "captioning"}), timeout=WAIT) as answer:
            yield answer
    except (OSError, ValueError) as error:  # no such host, no answer, an answer that is an error, a wrong address
        raise UserError(f"{address} cannot be fetched ({error}). Check the address.") from None


def portions(source: BinaryIO, name: str, *, most: int, seconds: float | None = None) -> Iterator[bytes]:
    """What comes, in pieces. Raises UserError above `most` bytes, after so many seconds, and where nothing comes."""
    size, deadline = 0, None if seconds is None else time.monotonic() + seconds
    while part := source.read(1 << 16):
        size += len(part)
        if size > most:
            raise UserError(f"{name} has more than {most >> 20} MB. Save it to a file and name that.")
        if deadline is not None and time.monotonic() > deadline:
            raise UserError(f"{name} takes more than {seconds:g} seconds to come. Save it to a file and name that.")
        yield part
    if not size:
        raise UserError(f"{name} is empty (0 bytes). Send a photo or a clip.")


def fetched(address: str) -> bytes:
    """All that an address of the web answers. Raises UserError."""
    with answered(address) as answer:
        return b"".join(portions(answer, address, most=MAX_BYTES, seconds=SECONDS))
