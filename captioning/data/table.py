"""A person's own photos or clips: a table of files and captions, as CSV or as one JSON object a line."""

from __future__ import annotations

import csv
import hashlib
import io
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

DELIMITERS = (",", ";", "\t", "|")


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
    """Photos and captions from a CSV file with a header line, or from JSON lines (`.jsonl`, `.ndjson`).

    A file is a clip by its extension; what is said of photos is true of clips. A photo may have several lines, one
    caption each; in JSON a line may also have a list of captions. The columns are `file` and `caption` (in JSON also
    `captions`) and, if wanted, `split` and `id`. Without an id the file is the
    id. Where no line has a split, photos are divided by a hash of their id: the same on every machine, whatever the
    order of the lines, and unchanged for a photo when others are added, unless a split would otherwise be empty.

    Args:
        file: the table, UTF-8.
        root: folder that the files are relative to; by default the folder of the table.
        val_fraction: share of the photos for `val` where there is no split column, 0 to 1.
        test_fraction: the same for `test`.
        file_column, caption_column, split_column, id_column: what the columns are called.
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
        on_missing: str = "error",
        name: str | None = None,
    ) -> None:
        self.file = Path(file).expanduser()
        super().__init__(self.file.parent if root is None else root, on_missing=on_missing)
        self.name = name or self.file.stem
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
            for photo_id, photo in self._photos.items()
            if photo.split == split
        ]

    @cached_property
    def _photos(self) -> dict[int | str, Photo]:
        json_lines = self.file.suffix.lower() in (".jsonl", ".ndjson")
        rows = list(self._json_rows() if json_lines else self._csv_rows())
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
        else:
            column = self.columns["split"]
            self.checks.report(
                self.file, unsplit, len(photos), "photos", "without a split", f"Fill in {column} for all or for none"
            )

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
        columns = self.columns
        text = read_text(self.file, "Set data.file to your table.")
        try:
            # Without `newline=""` a line break inside a quoted caption would end the row in some files.
            lines = csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter(text), strict=True)
            header = [name.strip() for name in next(lines, [])]
            for needed in ("file", "caption"):
                if columns[needed] not in header:
                    raise UserError(
                        f"{self.file} has no column {columns[needed]}; its header is {','.join(header)[:80]!r}. "
                        f"Name the column so, or set data.{needed}_column."
                    )
            for cells in filter(None, lines):
                place = f"{self.file}, line {lines.line_num}"
                if len(cells) != len(header):
                    raise UserError(
                        f"{place} has {len(cells)} columns where the header has {len(header)}. "
                        "A caption with a comma in it needs double quotes around it."
                    )
                row = dict(zip(header, cells, strict=True))
                file, split, photo_id = (row.get(columns[key], "").strip() for key in ("file", "split", "id"))
                if not file:
                    raise UserError(f"{place}: {columns['file']} is empty. Name a photo, or remove the line.")
                yield Row(lines.line_num, file, [row[columns["caption"]]], split or None, photo_id or None)
        except csv.Error as error:
            raise UserError(f"{self.file}, line {lines.line_num}: {error}. Mend the line.") from error

    def _delimiter(self, text: str) -> str:
        """The character that separates the columns needed in the header; spreadsheets write others than a comma."""
        header = next(iter(text.splitlines()), "")
        for delimiter in DELIMITERS:
            names = {name.strip(' "') for name in header.split(delimiter)}
            if {self.columns["file"], self.columns["caption"]} <= names:
                return delimiter
        return ","


def hash_splits(ids: Collection[int | str], val_fraction: float, test_fraction: float) -> dict[int | str, str]:
    """Id -> train, val or test, by the SHA-256 of the id seen as a number in [0, 1).

    A split that should have photos and got none takes one from the largest split.
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
    return splits
