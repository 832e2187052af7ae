"""A person's own photos or clips: a table of files and captions, or a folder of photos with texts beside them."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from captioning.data.file_source import Photos, split_name
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.annotations import parse_json, read_lines, read_text
from captioning.media.finding import find_images

log = logging.getLogger("captioning")

DELIMITERS = (",", ";", "\t", "|")
# What others call the columns, where nobody says: in the files of Flickr8k and Flickr30k as they are handed round.
ALIASES = {"file": ("image_name", "image", "filename", "file_name"), "caption": ("comment",)}
ENOUGH = 5  # photos for validation, of tables that can spare them: a score of fewer hardly chooses anything


@dataclass
class Row:
    """One line of a table: a photo, and what the line says of it."""

    line: int
    file: str
    captions: list[str]
    split: str | None
    id: int | str | None


@dataclass
class Photo:
    """What all lines of a table say of one photo together."""

    file: str
    split: str | None
    captions: list[str] = field(default_factory=list)


class Table(Photos):
    """Photos and captions from a CSV file with a header line, from JSON lines (`.jsonl`, `.ndjson`), or from a folder.

    A folder's photos have their captions beside them, `photo.txt` for `photo.jpg` with a caption in each line; folders
    named after splits within it are the splits. Flickr30k's own files, results_20130124.token and results.csv, are
    tables, too. What is said of photos is true of clips. A photo may have several lines, one
    caption each; in JSON a line may also have a list of captions. The columns are `file` and `caption` (in JSON also
    `captions`) and, if wanted, `split` and `id`. Without an id the file is the
    id. Where no line has a split, photos are divided by a hash of their id: the same on every machine, whatever the
    order of the lines, and unchanged for a photo when others are added, unless a split would otherwise be too small.

    Args:
        file: the table, UTF-8, or the folder.
        root: folder that the files are relative to; by default the folder of the table.
        val_fraction: share of the photos for `val` where there is no split column, 0 to 1.
        test_fraction: the same for `test`.
        file_column, caption_column, split_column, id_column: what the columns are called.
        separator: of the columns; by default the one that the header has.
        sidecar: ending of the texts beside the photos of a folder.
        on_missing: "error", "skip" or "ignore", see `Photos`.
        name: of the source; by default the table's name without its extension.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        *,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        file_column: str = "file",
        caption_column: str = "caption",
        split_column: str = "split",
        id_column: str = "id",
        separator: str | None = None,
        sidecar: str = ".txt",
        on_missing: str = "error",
        name: str | None = None,
    ) -> None:
        self.file = Path(file).expanduser()
        home = self.file if self.file.is_dir() else self.file.parent
        super().__init__(home if root is None else root, on_missing=on_missing)
        self.name = name or self.file.stem
        if separator is not None and len(separator.strip(" ")) != 1:
            raise UserError(f"data.separator is {separator!r}: give one character, such as '|'")
        if not sidecar.startswith("."):
            raise UserError(f"data.sidecar is {sidecar!r}: give an ending such as .txt or .caption")
        self.separator, self.sidecar = separator, sidecar
        if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
            raise UserError("data.val_fraction and data.test_fraction must be 0 or more and add up to less than 1.")
        self.val_fraction, self.test_fraction = val_fraction, test_fraction
        self.columns = {"file": file_column, "caption": caption_column, "split": split_column, "id": id_column}

    def annotations(self, split: str) -> Path:
        return self.file

    def remedy(self) -> str:
        return f"Put them under {self.root}, or set data.root to their folder"

    def read(self, split: str) -> list[Example]:
        return [
            Example(photo_id, photo.file, tuple(photo.captions))
            for photo_id, photo in self.photos.items()
            if photo.split == split
        ]

    @cached_property
    def photos(self) -> dict[int | str, Photo]:
        """Everything in the table, by id."""
        rows = list(self._rows())
        photos: dict[int | str, Photo] = {}
        id_of: dict[str, int | str] = {}
        unknown, two_files, two_ids, two_splits = [], [], [], []
        for row in rows:
            split = split_name(row.split) if row.split else None
            photo_id = row.file if row.id is None else row.id
            photo = photos.setdefault(photo_id, Photo(row.file, split))
            if row.split and split is None:
                unknown.append(f"{row.split!r} in line {row.line}")
            elif photo.file != row.file:
                two_files.append(f"{photo_id} in line {row.line}")
            elif id_of.setdefault(row.file, photo_id) != photo_id:
                two_ids.append(f"{row.file} in line {row.line}")
            elif split and photo.split and photo.split != split:
                two_splits.append(f"{row.file} in line {row.line}")
            else:
                photo.split = photo.split or split
                photo.captions += row.captions
        for found, what, state, remedy in (
            (unknown, "splits", "unknown", "Name them train, val or test"),
            (two_files, "ids", "given to a second photo", "Give each photo an id of its own"),
            (two_ids, "photos", "under a second id", "Give all lines of a photo one id"),
            (two_splits, "photos", "in a second split", "Put each photo into one split"),
        ):
            self.checks.report(self.file, found, len(rows), what, state, remedy)
        photos = {photo_id: photo for photo_id, photo in photos.items() if id_of.get(photo.file) == photo_id}
        self._divide(photos)
        return photos

    def _divide(self, photos: dict[int | str, Photo]) -> None:
        """Fills in the splits where the table has none."""
        unsplit = [photo_id for photo_id, photo in photos.items() if photo.split is None]
        if len(unsplit) == len(photos):
            for photo_id, split in hash_splits(unsplit, self.val_fraction, self.test_fraction).items():
                photos[photo_id].split = split
            few = sum(photo.split == "val" for photo in photos.values())
            if self.val_fraction and few < ENOUGH:
                log.warning(
                    f"{self.file}: of {len(photos):,} photos {few} are left for validation, fewer than {ENOUGH}, which "
                    "say little about a model. Caption more, or set data.val_fraction"
                )
        else:
            column = self.columns["split"]
            self.checks.report(
                self.file, unsplit, len(photos), "photos", "without a split", f"Fill in {column} for all or for none"
            )

    def _rows(self) -> Iterator[Row]:
        if self.file.is_dir():
            return self._folder_rows()
        if self.file.suffix.lower() in (".jsonl", ".ndjson"):
            return self._json_rows()
        return self._token_rows() if self.file.suffix.lower() == ".token" else self._csv_rows()

    def _folder_rows(self) -> Iterator[Row]:
        for number, path in enumerate(find_images(self.file, recursive=True, clips=True), 1):
            file = path.relative_to(self.file)
            texts = [path.with_name(f"{path.name}{self.sidecar}"), path.with_suffix(self.sidecar)]
            found = next((text for text in texts if text.is_file()), None)
            captions = [line.strip() for _, line in read_lines(found)] if found else []
            yield Row(number, file.as_posix(), captions, split_name(file.parts[0]) and file.parts[0], None)

    def _token_rows(self) -> Iterator[Row]:
        """`photo.jpg#0`, a tab and a caption, as Flickr8k's and Flickr30k's own files have them."""
        for number, line in read_lines(self.file, "Set data.file to your table."):
            key, tab, caption = line.partition("\t")
            photo, mark, _ = key.strip().rpartition("#")
            if not (tab and mark and photo):
                raise UserError(
                    f"{self.file}, line {number}: expected 'photo.jpg#0', a tab and a caption, found {line[:60]!r}. "
                    "Mend the line."
                )
            yield Row(number, photo, [caption.strip()], None, None)

    def _json_rows(self) -> Iterator[Row]:
        columns = self.columns
        for number, line in read_lines(self.file, "Set data.file to your table."):
            place = f"{self.file}, line {number}"
            entry = parse_json(line, place)
            if not isinstance(entry, dict):
                raise UserError(f"{place}: expected a JSON object, found {line[:60]}.")
            captions = entry.get("captions", entry.get(columns["caption"], []))
            captions = [captions] if isinstance(captions, str) else captions
            file, split, photo_id = (entry.get(columns[key]) for key in ("file", "split", "id"))
            if not isinstance(file, str) or not file.strip():
                raise UserError(f"{place}: {columns['file']} should be the name of a photo, found {file!r}.")
            if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
                raise UserError(f"{place}: {columns['caption']} should be text or a list of texts.")
            if not isinstance(split, (str, type(None))) or not isinstance(photo_id, (str, int, type(None))):
                raise UserError(f"{place}: {columns['split']} should be text, {columns['id']} text or a whole number.")
            yield Row(number, file.strip(), captions, split, photo_id)

    def _csv_rows(self) -> Iterator[Row]:
        text = read_text(self.file, "Set data.file to your table.")
        separator, spaced = self._separator(text)
        # Without `newline=""` a line break inside a quoted caption would end the row in some files. Where blanks stand
        # behind the separator, as in Flickr30k's results.csv, quotes are part of the captions.
        quoting = csv.QUOTE_NONE if spaced else csv.QUOTE_MINIMAL
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, quoting=quoting)
        start, header = 1, None
        try:
            for cells in lines:
                place, start = f"{self.file}, line {start}", lines.line_num + 1
                if spaced:
                    cells = [cell.strip() for cell in cells]
                if header is None:
                    header = [name.strip() for name in cells]
                    columns = self._columns(header, separator)
                elif cells:
                    yield self._csv_row(cells, header, columns, separator, spaced, place)
        except csv.Error as error:
            ends = "end of data" in str(error)
            if not spaced and (ends or lines.line_num > start):
                closed = "the file ends before that" if ends else f"the next one stands in line {lines.line_num}"
                raise UserError(
                    f"{self.file}, line {start}: a quote that opens there is not closed; {closed}. Mend the line."
                ) from error
            raise UserError(f"{self.file}, line {start}: {error}. Mend the line.") from error
        if header is None:
            self._columns([], separator)

    def _csv_row(
        self, cells: list[str], header: list[str], columns: dict[str, str], separator: str, spaced: bool, place: str
    ) -> Row:
        if spaced and len(cells) == len(header) - 1:  # one line of Flickr30k's results.csv lost its last separator
            number, blank, caption = cells[-1].partition(" ")
            cells = [*cells[:-1], number, caption.strip()] if blank and number.isdigit() else cells
        if len(cells) != len(header):
            remedy = (
                f"A caption with a {separator!r} in it needs double quotes around it."
                if len(cells) > len(header)
                else f"A {separator!r} or a whole column is missing in the line."
            )
            raise UserError(f"{place} has {len(cells)} columns where the header has {len(header)}. {remedy}")
        row = dict(zip(header, cells, strict=True))
        file, split, photo_id = (row.get(columns[key], "").strip() for key in ("file", "split", "id"))
        if not file:
            raise UserError(f"{place}: {columns['file']} is empty. Name a photo, or remove the line.")
        return Row(int(place.rpartition(" ")[2]), file, [row[columns["caption"]]], split or None, photo_id or None)

    def _columns(self, header: list[str], separator: str) -> dict[str, str]:
        """What the columns are called in this table. Raises UserError where one that is needed is not there."""
        columns = dict(self.columns)
        for needed, others in ALIASES.items():
            if columns[needed] in header:
                continue
            other = next((name for name in others if name in header), None)
            if other is None or columns[needed] != needed:  # somebody chose the name
                raise UserError(
                    f"{self.file} has no column {columns[needed]}; its header is {separator.join(header)[:80]!r}. "
                    f"Name the column so, or set data.{needed}_column, or data.separator."
                )
            columns[needed] = other
        return columns

    def _separator(self, text: str) -> tuple[str, bool]:
        """The character between the columns of the header, and whether a blank stands behind it everywhere there."""
        header = next(iter(text.splitlines()), "")
        for separator in DELIMITERS if self.separator is None else (self.separator.strip(" "),):
            cells = header.split(separator)
            names = {name.strip(' "') for name in cells}
            needed = [{self.columns[key], *(ALIASES[key] if self.columns[key] == key else ())} for key in ALIASES]
            if self.separator is not None or all(names & those for those in needed):
                spaced = separator == "|" and len(cells) > 1 and all(cell[:1] == " " for cell in cells[1:])
                return separator, spaced
        return ",", False


def hash_splits(ids: Collection[int | str], val_fraction: float, test_fraction: float) -> dict[int | str, str]:
    """Id -> train, val or test, by the SHA-256 of the id seen as a number in [0, 1).

    A split that should have photos and got none takes one from the largest split; `val` takes from `train` until it has
    ENOUGH, or a quarter of all where that is fewer.
    """
    place = {one: int.from_bytes(hashlib.sha256(str(one).encode()).digest()[:8], "big") / 2**64 for one in ids}
    splits = {
        one: "test" if at < test_fraction else "val" if at < test_fraction + val_fraction else "train"
        for one, at in place.items()
    }
    for split, fraction in (("train", 1.0), ("val", val_fraction), ("test", test_fraction)):
        counts = Counter(splits.values())
        largest = max(counts, key=lambda one: (counts[one], one), default=None)
        if largest and fraction > 0 and not counts[split] and (counts[largest] > 1 or split == "train"):
            splits[min((one for one in ids if splits[one] == largest), key=place.__getitem__)] = split
    counts = Counter(splits.values())
    wanted = min(ENOUGH, len(place) // 4) - counts["val"] if val_fraction > 0 else 0
    nearest = sorted((one for one in ids if splits[one] == "train"), key=place.__getitem__)
    for one in nearest[: max(wanted, 0)]:
        splits[one] = "val"
    return splits
