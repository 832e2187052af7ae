"""Where captions of many photos go: a text file beside each, or one file that grows as they are made.

Both know which photos they hold already, so that a second run does only what is left. Imports no torch.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from captioning.errors import UserError
from captioning.files.atomic import write_whole
from captioning.files.new_file import create
from captioning.files.terminal import cell, harmless, has_controls
from captioning.media.finding import BESIDE
from captioning.media.kinds import CLIP_EXTENSIONS, IMAGE_EXTENSIONS, content_kind

if TYPE_CHECKING:
    from captioning.tasks.captioning.caption import Caption

log = logging.getLogger("captioning")

COLUMNS = ("file", "caption", "score")


class Output(Protocol):
    """A place for captions."""

    def __contains__(self, file: Path) -> bool:
        """Whether it holds the photo's captions already."""

    def write(self, file: Path, captions: Sequence[Caption]) -> None:
        """Adds the captions of a photo, all or none. Raises UserError where that cannot be."""

    def finish(self, *, well: bool) -> None:
        """Called once at the end of a run, `well` where it was not cut short. Raises UserError."""


@dataclass(frozen=True)
class Existing:
    """What is done with a file that is there: it stays (`keep`), is replaced (`overwrite`), or is refused."""

    keep: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.keep and self.overwrite:
            raise UserError("--skip-existing keeps what is there and --overwrite replaces it: give one of them")

    def may_write(self, path: Path) -> bool:
        """Whether to write the file; False where it stays as it is. Raises UserError where neither option is given."""
        if self.overwrite or not os.path.lexists(path):
            return True
        if not self.keep:
            raise UserError(f"{path} is there: --skip-existing leaves it, --overwrite replaces it")
        return False


class ArrivedFile(type(Path())):  # type: ignore[misc]  # a path of this system
    """A file that stands for what came from elsewhere, and is called so in everything that is printed."""

    def __new__(cls, path: Path, *, shown: str) -> ArrivedFile:
        return super().__new__(cls, path)

    def __init__(self, path: Path, *, shown: str):
        if sys.version_info >= (3, 12):
            super().__init__(path)
        self.shown = shown

    def __reduce__(self):
        return Path, (str(self),)

    @property
    def stem(self) -> str:
        """What files that are made of it are called after."""
        return "stdin" if self.shown == "-" else Path(self.shown.partition("?")[0]).stem or "photo"

    def with_segments(self, *parts) -> Path:
        return Path(*parts)


def shown(file: Path) -> str:
    """What a file is called in what is printed."""
    return getattr(file, "shown", None) or str(file)


def printable(name: str) -> str:
    """A file's name on one line that can be encoded, whatever bytes it is made of."""
    return name if name.isprintable() else repr(name)[1:-1]


def json_line(file: Path, caption: Caption, **times: float) -> str:
    """One JSON object: file, caption, score (null where it is no number), `times` of a clip, and how sure it is."""
    name = shown(file)
    score = caption.score if math.isfinite(caption.score) else None
    content = {"file": name, **times, "caption": caption.text, "score": score}
    if caption.confidence is not None:
        content["confidence"] = round(caption.confidence, 4)
    return json.dumps(content, ensure_ascii=not name.isprintable() or has_controls(caption.text))


class Sidecars:
    """`photo.txt` beside `photo.jpg`, a line a caption, written whole or not at all.

    Photos of one folder that differ only in their ending have `photo.jpg.txt` and `photo.png.txt`. The name follows
    from what the folder holds, never from what else is captioned; one that was written so once is kept.
    """

    def __init__(self, ending: str = ".txt", *, overwrite: bool = False):
        if not (ending.startswith(".") and len(ending) > 1 and os.path.basename(ending) == ending):
            raise UserError(f"--sidecar-ending {ending}: give an ending such as .txt or .caption")
        if ending.lower() in (*IMAGE_EXTENSIONS, *CLIP_EXTENSIONS):
            raise UserError(
                f"--sidecar-ending {ending}: that is what photos or clips are called. Give .txt or .caption"
            )
        self.ending, self.overwrite = ending, overwrite
        self._namesakes: dict[Path, dict[str, set[str]]] = {}

    def path(self, file: Path) -> Path:
        long = file.with_name(f"{file.name}{self.ending}")
        others = self._of_folder(file.parent).get(file.stem.casefold(), set()) - {file.name}
        return long if others or self._is_anothers(file) or os.path.lexists(long) else self._short(file)

    def _of_folder(self, folder: Path) -> dict[str, set[str]]:
        """Name without its ending, in lower case -> the photos and clips of a folder that are called so."""
        if folder not in self._namesakes:
            found: dict[str, set[str]] = {}
            with suppress(OSError):
                for name in os.listdir(folder):
                    stem, extension = os.path.splitext(name)
                    if extension.lower() not in (self.ending.lower(), *BESIDE):
                        found.setdefault(stem.casefold(), set()).add(name)
            shared = {stem: names for stem, names in found.items() if len(names) > 1}
            self._namesakes[folder] = {
                stem: {name for name in names if _is_media(folder / name)} for stem, names in shared.items()
            }
        return self._namesakes[folder]

    def _is_anothers(self, file: Path) -> bool:
        """Whether the short name is the long one of another photo, as that of dog.jpg.png is, or is a photo itself."""
        return any(os.path.lexists(one) and _is_media(one) for one in (file.with_name(file.stem), self._short(file)))

    def _short(self, file: Path) -> Path:
        return file.with_name(f"{file.stem}{self.ending}")

    def __contains__(self, file: Path) -> bool:
        return os.path.lexists(self.path(file))

    def write(self, file: Path, captions: Sequence[Caption]) -> None:
        path, text = self.path(file), "".join(f"{harmless(caption.text)}\n" for caption in captions)
        write_whole(path, text)
        short = self._short(file)
        if path != short and os.path.lexists(short) and not self._is_anothers(file):
            self._retire(short, path, text)

    def finish(self, *, well: bool) -> None:
        """Nothing is left to do."""

    def _retire(self, short: Path, path: Path, text: str) -> None:
        """Removes `photo.txt` once `photo.jpg.txt` says the same: whose it is can no more be seen from its name."""
        with suppress(OSError, UnicodeDecodeError):
            if self.overwrite or short.read_text(encoding="utf-8") == text:
                short.unlink()
                return
        log.warning(f"{short} may be of any photo of that name: {path.name} is written, {short.name} stays as it is")


def _is_media(file: Path) -> bool:
    return file.suffix.lower() in (*IMAGE_EXTENSIONS, *CLIP_EXTENSIONS) or content_kind(file) is not None


class CaptionFile:
    """A `.jsonl` or `.csv` with file, caption and score, to which each photo's lines are appended as they are made."""

    def __init__(self, path: Path, *, captions: int = 1, keep: bool = False, overwrite: bool = False):
        """`keep` goes on with a file that is there, its torn last line cut off.

        `overwrite` begins it anew, as NAME.partial, which takes the place of the former one when the run has ended.
        `captions` a photo are expected, to see whether the last photo's are complete. Raises UserError where the file
        is there and neither is said, is something else, or cannot be written.
        """
        if path.suffix not in (".jsonl", ".csv"):
            raise UserError(f"--output {path}: the name ends in .jsonl or .csv, which says how to write it")
        self.path, self.as_csv, self.held = path, path.suffix == ".csv", set()
        self.written = path  # where the lines go
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            there = path.exists() and path.stat().st_size > 0
            if there and not path.is_file():
                raise UserError(f"--output {path} is not a file: choose another place")
            if there and not keep and not overwrite:
                raise UserError(f"{path} is there: --skip-existing goes on with it, --overwrite replaces it")
            if there and keep:
                self._go_on(captions)
            else:
                if there:
                    self.written = path.with_name(f"{path.name}.partial")
                    with suppress(FileNotFoundError):
                        self.written.unlink()
                    create(self.written).close()
                self._append(_row(COLUMNS) if self.as_csv else "", 0)
            self.size = self.written.stat().st_size
        except OSError as error:
            raise UserError(f"--output {path} cannot be written ({error.strerror}). Choose another place") from None

    def __contains__(self, file: Path) -> bool:
        return self._name(file) in self.held

    def write(self, file: Path, captions: Sequence[Caption]) -> None:
        lines = [self._line(file, caption) for caption in captions]
        try:
            self.size = self._append("".join(lines), self.size)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written ({error.strerror}): free some space, then go on") from None
        self.held.add(self._name(file))

    def finish(self, *, well: bool) -> None:
        """Lets new captions take the place of former ones, where the run has come to its end and made any.

        Where it has not, the former are as they were, and new ones stay in NAME.partial. Raises UserError.
        """
        if self.written == self.path:
            return
        try:
            if self.held and well:
                os.replace(self.written, self.path)
                self.written = self.path
            elif not self.held:
                self.written.unlink()
        except OSError as error:
            raise UserError(f"{self.path} cannot be replaced ({error.strerror}): it is in {self.written}") from None
        if self.held and not well:
            raise UserError(f"{self.path} is as it was; what was captioned anew is in {self.written}")

    def _append(self, text: str, size: int) -> int:
        """Adds to the file, of which `size` bytes are whole, all or nothing. -> its size. Raises OSError."""
        content = text.encode("utf-8", "backslashreplace")
        with open(self.written, "ab", buffering=0) as output:
            if output.seek(0, os.SEEK_END) > size:  # what could not be cut off before
                output.truncate(size)
            try:
                done = 0
                while done < len(content):
                    done += output.write(content[done:])
            except BaseException:
                with suppress(OSError):
                    output.truncate(size)
                raise
        return size + len(content)

    def _name(self, file: Path) -> str:
        return str(cell(printable(shown(file)))) if self.as_csv else shown(file)

    def _line(self, file: Path, caption: Caption) -> str:
        if not self.as_csv:
            return f"{json_line(file, caption)}\n"
        text = cell(harmless(caption.text))
        return _row((self._name(file), text, caption.score if math.isfinite(caption.score) else ""))

    def _go_on(self, captions: int) -> None:
        """Reads which photos are done. Cuts off what an interruption tore: half a line, some of a photo's lines."""
        whole, start, last, count, most, torn = 0, 0, None, 0, 0, False
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    torn = True
                    break
                if not (self.as_csv and number == 1):
                    name = self._read(line, number)
                    if name != last:
                        most = max(most, count)
                        last, start, count = name, whole, 0
                    count += 1
                    self.held.add(name)
                elif next(csv.reader([line.decode("utf-8-sig", "replace")])) != list(COLUMNS):
                    raise UserError(f"{self.path} is another table: its columns are not {', '.join(COLUMNS)}")
                whole += len(line)
        # an interruption may have come right behind a line; but where every photo has fewer, fewer were asked for
        expected = captions if torn or not most else min(captions, most)
        if last is not None and count < expected:
            self.held.discard(last)
            whole, torn = start, True
        if torn:
            os.truncate(self.path, whole)
            if self.as_csv and not whole:
                self._append(_row(COLUMNS), 0)

    def _read(self, line: bytes, number: int) -> str:
        """The photo's name in a line. Raises UserError where the line is not one of ours."""
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            if self.as_csv:
                name, _, _ = next(csv.reader([text]))
            else:
                name = json.loads(text)["file"]
            if not isinstance(name, str):
                raise TypeError
        except (ValueError, KeyError, TypeError, StopIteration, RecursionError, csv.Error):
            raise UserError(
                f"{self.path}, line {number}, is not a caption with its file: choose another --output, or --overwrite"
            ) from None
        return name


def _row(cells: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
