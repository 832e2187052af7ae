"""`captioning data download NAME`: fetches what the owners of a benchmark publish, and goes on where it stopped."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from captioning import __version__
from captioning.data.download.archives import Archive
from captioning.data.download.unpack import unpack
from captioning.errors import UserError
from captioning.files.disk_space import require_room, size_in_words
from captioning.files.new_file import NO_LINKS
from captioning.files.terminal import harmless

log = logging.getLogger("captioning")

CHUNK = 1 << 20
TRIES = 4  # without a byte in between
TIMEOUT = 60  # seconds without a byte
SLOWEST, PATIENCE = 1000, 300  # bytes a second, on average over so many seconds, below which nobody waits
LARGEST = 200 * 10**9  # bytes of an archive whose owners do not say its size
REDIRECTS = 5
REQUESTS = 1000  # for one archive
SCHEMES = ("https", "http")
Report = Callable[[int, int], None]


def fetch(archive: Archive, folder: Path, progress: Report | None = None) -> Path:
    """Downloads an archive into `folder`, from where an earlier attempt stopped, and verifies it. -> the file.

    `progress` is called with (bytes that are there, bytes in all). Raises UserError where it cannot be had; what came
    so far stays in NAME.part.
    """
    target, part = folder / archive.name, folder / f"{archive.name}.part"
    if not target.exists():
        before = part.stat().st_size if part.exists() else 0
        remedy = "Make room, or choose another folder with root=DIR."
        require_room(folder, 2 * (archive.size or 0) - before, f"{archive.name}, unpacked,", remedy)
        folder.mkdir(parents=True, exist_ok=True)
        _complete(archive, part, progress)
        os.replace(part, target)
    verify(archive, target)
    return target


def _complete(archive: Archive, part: Path, progress: Report | None) -> None:
    """Adds to `part` until it is whole."""
    failures = 0
    for _ in range(REQUESTS):
        before = part.stat().st_size if part.exists() else 0
        if archive.size is not None and before == archive.size:
            return
        slow = False
        try:
            total = _more(archive, part, before, progress)
            reason = "the answer ended early"
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and before:  # longer than, or as long as, what the server has
                if archive.size is None and _total(error.headers.get("Content-Range", "")) == before:
                    return
                part.unlink()
                total, reason = None, "there was more than the server has"
            else:
                reason = harmless(str(error.reason)[:200])
                raise UserError(f"{archive.url} cannot be had: {error.code} {reason}. Look for it by hand.") from None
        except (http.client.HTTPException, OSError, ValueError) as error:  # the last of headers that make no sense
            slow = isinstance(error, TooSlow)
            total, reason = None, harmless(str(getattr(error, "reason", None) or error or type(error).__name__)[:200])
        after = part.stat().st_size if part.exists() else 0
        if total is not None and after >= total:
            return
        failures = 0 if after > before and not slow else failures + 1
        if failures == TRIES or (failures and not after):
            raise UserError(
                f"{archive.url} could not be fetched ({reason}); {size_in_words(after)} are there. Connect to the "
                "network, and run it again: it goes on from there."
            )
    raise UserError(f"{archive.url} broke off {REQUESTS:,} times. Run it again: it goes on from there.")


def _more(archive: Archive, part: Path, before: int, progress: Report | None) -> int | None:
    """One request for what is not there yet. -> bytes of the whole archive, or None where the server does not say."""
    headers = {"User-Agent": f"captioning/{__version__}", "Accept-Encoding": "identity"}
    if before:
        headers["Range"] = f"bytes={before}-"
    with _open(urllib.request.Request(archive.url, headers=headers), timeout=TIMEOUT) as answer:
        goes_on = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {before}-")
        start = before if goes_on else 0  # a server that knows no ranges sends everything again
        length = _length(answer.headers.get("Content-Length"), archive)
        total = start + length if length is not None else archive.size
        if archive.size is not None and total != archive.size:
            raise UserError(f"{archive.url} has {total:,} bytes where {archive.size:,} are right. Look for it by hand.")
        most = LARGEST if total is None else total
        with _reopened(part, goes_on) as file:
            done, pace = start, Pace()
            while chunk := answer.read1(CHUNK):
                if done + len(chunk) > most:
                    raise UserError(f"{archive.url} sends more than the {most:,} bytes it has. Look for it by hand.")
                _write(file, chunk)
                done += len(chunk)
                pace.check(len(chunk))
                if progress:
                    progress(done, total or done)
        return done if total is None else total


class TooSlow(TimeoutError):
    """What comes would take for ever."""


class Pace:
    """Raises TooSlow where what comes is so little that it would never end, though it never stops either."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock, self.began, self.came = clock, clock(), 0

    def check(self, count: int) -> None:
        self.came += count
        if self.clock() - self.began >= PATIENCE:
            if self.came < SLOWEST * PATIENCE:
                raise TooSlow(f"less than {SLOWEST:,} bytes a second")
            self.began, self.came = self.clock(), 0


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a few, to the web and nowhere else."""

    max_redirections = REDIRECTS

    def redirect_request(self, request: Any, answer: Any, code: int, message: str, headers: Any, url: str) -> Any:
        if urllib.parse.urlsplit(url).scheme.lower() not in SCHEMES:
            answer.close()
            raise UserError(f"{request.full_url} sends us on to {harmless(url[:200])}, which is not on the web")
        if request.full_url.startswith("https:") and not url.lower().startswith("https:"):
            answer.close()
            raise UserError(f"{request.full_url} sends us on to {harmless(url[:200])}, which anybody can change")
        return super().redirect_request(request, answer, code, message, headers, url)


def _open(request: urllib.request.Request, timeout: float) -> Any:
    """The answer to a request. Raises OSError, http.client.HTTPException, UserError."""
    handlers = (urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler, _Redirects)
    opener = urllib.request.OpenerDirector()  # without those for files and FTP, which the usual one has
    for handler in (*handlers, urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor):
        opener.add_handler(handler())
    opener.add_handler(urllib.request.UnknownHandler())
    return opener.open(request, timeout=timeout)


def _length(said: str | None, archive: Archive) -> int | None:
    """Bytes that are to come, None where nothing is said. Raises UserError for what is no number."""
    if said is None:
        return None
    if not (said.strip().isascii() and said.strip().isdecimal() and len(said) < 20):
        raise UserError(f"{archive.url} answers with a length of {harmless(said[:40])!r}. Look for it by hand.")
    return int(said)


def _reopened(part: Path, goes_on: bool) -> IO[bytes]:
    """The file of what came so far, through no link. Raises UserError."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | NO_LINKS, 0o666)

    try:
        return open(part, "ab" if goes_on else "wb", opener=opener)
    except OSError as error:
        raise UserError(
            f"{part} cannot be written ({error.strerror}). Remove it, or choose another root=DIR."
        ) from error


def _write(file: IO[bytes], chunk: bytes) -> None:
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        raise UserError(f"{file.name} cannot be written ({error.strerror}). Make room, and run it again.") from error


def _total(content_range: str) -> int | None:
    """12 of "bytes */12"."""
    total = content_range.rpartition("/")[2]
    return int(total) if total.isdecimal() else None


def verify(archive: Archive, file: Path) -> None:
    """Raises UserError, and removes the file, where size or digest are not those that are known."""
    wrong = None
    if archive.size is not None and file.stat().st_size != archive.size:
        wrong = f"has {file.stat().st_size:,} bytes where {archive.size:,} are right"
    elif archive.digest:
        kind, _, expected = archive.digest.partition(":")
        found = hashlib.new(kind, usedforsecurity=False)
        with file.open("rb") as content:
            while chunk := content.read(CHUNK):
                found.update(chunk)
        if found.hexdigest() != expected:
            wrong = f"has the {kind} {found.hexdigest()[:12]}... where {expected[:12]}... is right"
    if wrong:
        file.unlink()
        raise UserError(f"{file} {wrong}: it came damaged, or its owners changed it. It was removed; try again.")


def download(archives: Sequence[Archive], root: Path) -> int:
    """Fetches and unpacks those archives whose files are not all under `root`. -> how many."""
    from captioning.runtime.progress import progress_bar

    todo = [archive for archive in archives if archive.absent(root)]
    for archive in todo:
        with progress_bar(f"{archive.name}, MB") as bar:
            file = fetch(archive, root, lambda done, total, bar=bar: bar(done // 10**6, -(-total // 10**6)))
        with progress_bar(f"{archive.name} into {root}") as bar:
            unpack(file, archive, root, bar)
        if still := archive.absent(root):
            raise UserError(f"{file} is unpacked, but {', '.join(still)} is not there. Look into it by hand.")
        file.unlink()
    return len(todo)
