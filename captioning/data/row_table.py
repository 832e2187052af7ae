"""Tables of a person's own questions or phrases: lines about photos, as CSV or as one JSON object a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from captioning.data.file_source import split_name
from captioning.data.table import hash_splits
from captioning.errors import UserError
from captioning.files.annotations import parse_json, read_lines, read_text

Row = tuple[str, dict[str, Any]]  # place for errors, values
REMEDY = "Set data.file to your table."


def read_rows(file: Path, needed: Sequence[str]) -> list[Row]:
    """Every line of a table. In a CSV, whose header has the `needed` columns, values are text.

    What ends in .jsonl or .ndjson is JSON lines. Raises UserError naming the line; `needed[1]` is what its advice is
    about.
    """
    json_lines = file.suffix.lower() in (".jsonl", ".ndjson")
    return list(_json_rows(file) if json_lines else _csv_rows(file, needed))


def text_of(place: str, row: dict[str, Any], field: str) -> str:
    """A field that has to say something. Raises UserError."""
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{place}: {field} should be text, found {value!r}.")
    return value.strip()


def splits_of(
    file: Path, rows: Sequence[Row], photos: Sequence[str], val_fraction: float, test_fraction: float
) -> dict[str, str]:
    """The split of each of the photos: that of its lines, or where no line has one, by a hash of its name."""
    named: dict[str, str] = {}
    for place, row in rows:
        if row.get("split"):
            split = split_name(str(row["split"]))
            if split is None:
                raise UserError(f"{place}: the split {row['split']!r} is unknown. Name them train, val or test.")
            if named.setdefault(row["file"].strip(), split) != split:
                raise UserError(f"{place}: {row['file']} is in a second split. Put each photo into one.")
    if not named:
        return {str(photo): split for photo, split in hash_splits(photos, val_fraction, test_fraction).items()}
    without = [photo for photo in photos if photo not in named]
    if without:
        raise UserError(f"{file}: {without[0]} has no split. Fill in split for all photos or for none.")
    return named


def check_fractions(val_fraction: float, test_fraction: float) -> None:
    """Raises UserError unless something is left for training."""
    if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
        raise UserError("data.val_fraction and data.test_fraction must be 0 or more and add up to less than 1.")


def _json_rows(file: Path) -> Iterator[Row]:
    for number, line in read_lines(file, REMEDY):
        place = f"{file}, line {number}"
        row = parse_json(line, place)
        if not isinstance(row, dict):
            raise UserError(f"{place}: expected a JSON object, found {line[:60]}.")
        yield place, row


def _csv_rows(file: Path, needed: Sequence[str]) -> Iterator[Row]:
    lines = csv.reader(io.StringIO(read_text(file, REMEDY), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(lines, [])]
        for column in needed:
            if column not in header:
                raise UserError(f"{file} has no column {column}; its header is {','.join(header)[:80]!r}.")
        for cells in filter(None, lines):
            place = f"{file}, line {lines.line_num}"
            if len(cells) != len(header):
                raise UserError(
                    f"{place} has {len(cells)} columns where the header has {len(header)}. "
                    f"A {needed[1]} with a comma in it needs double quotes around it."
                )
            yield place, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise UserError(f"{file}, line {lines.line_num}: {error}. Mend the line.") from error
