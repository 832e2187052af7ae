"""A person's own phrases and where they are: a table of files, phrases and boxes, as CSV or as JSON lines."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Any

from captioning.boxes import FORMATS, Corners, as_corners
from captioning.data.phrases import Phrase, PhrasedExample, PhrasePhotos, grouped
from captioning.data.row_table import Row, check_fractions, read_rows, splits_of, text_of
from captioning.errors import UserError
from captioning.media.images import image_size

WHOLE = (0.0, 0.0, 1.0, 1.0)
SIDES = ("x1", "y1", "x2", "y2")


class PhraseTable(PhrasePhotos):
    """Phrases from a CSV file with a header line, or from JSON lines (`.jsonl`, `.ndjson`), one box a line.

    The columns are `file`, `phrase`, `x1`, `y1`, `x2` and `y2`, and, if wanted, `kind` and `split`. A phrase that
    means several things of a photo has a line for each; one that means nothing in it a line without numbers. Where no
    line has a split, photos are divided by a hash of their file.

    Args:
        file: the table, UTF-8.
        root: folder that the files are relative to; by default the folder of the table.
        unit: "pixels" of the photo, or "shares" of it, from 0 to 1.
        layout: what the four columns hold: corners (xyxy), or as COCO has them (xywh), a centre and a size (cxcywh),
            or ymin, ymax, xmin, xmax (yyxx).
        val_fraction: share of the photos for `val` where there is no split column, 0 to 1.
        test_fraction: the same for `test`.
        absent, on_missing: see `PhrasePhotos` and `Photos`.
        name: of the source; by default the table's name without its extension.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        *,
        unit: str = "pixels",
        layout: str = "xyxy",
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        absent: int = 0,
        on_missing: str = "error",
        name: str | None = None,
    ) -> None:
        self.file = Path(file).expanduser()
        super().__init__(self.file.parent if root is None else root, absent=absent, on_missing=on_missing)
        if unit not in ("pixels", "shares"):
            raise UserError(f"data.unit={unit}: it is pixels or shares")
        if layout not in FORMATS:
            raise UserError(f"data.layout={layout}: it is {', '.join(FORMATS)}")
        check_fractions(val_fraction, test_fraction)
        self.name = name or self.file.stem
        self.unit, self.layout = unit, layout
        self.val_fraction, self.test_fraction = val_fraction, test_fraction

    def annotations(self, split: str) -> Path:
        return self.file

    def remedy(self) -> str:
        return f"Put them under {self.root}, or set data.root to their folder"

    def read(self, split: str) -> list[PhrasedExample]:
        return grouped((file, file, phrase) for file, phrase in self._located if self._splits[file] == split)

    @cached_property
    def _rows(self) -> list[Row]:
        return read_rows(self.file, ("file", "phrase", *SIDES))

    @cached_property
    def _splits(self) -> dict[str, str]:
        photos = list(dict.fromkeys(file for file, _ in self._located))
        return splits_of(self.file, self._rows, photos, self.val_fraction, self.test_fraction)

    @cached_property
    def _located(self) -> list[tuple[str, Phrase]]:
        """(file, phrase) with all boxes that the lines of the two have."""
        boxes: dict[tuple[str, str], list[Corners]] = defaultdict(list)
        kinds: dict[tuple[str, str], str] = {}
        sizes: dict[str, tuple[float, float] | None] = {}
        empty: dict[tuple[str, str], str] = {}
        for place, row in self._rows:
            key = text_of(place, row, "file"), text_of(place, row, "phrase")
            kinds.setdefault(key, str(row.get("kind") or ""))
            values = [_number(place, row, side) for side in SIDES]
            if values == [None] * 4:
                empty[key] = place
                boxes[key] += []
                continue
            if self.unit == "pixels" and key[0] not in sizes:
                sizes[key[0]] = self._size(key[0], place)
            missing = self.unit == "pixels" and sizes[key[0]] is None
            boxes[key].append(WHOLE if missing else as_corners(values, self.layout, sizes.get(key[0]), place))
        both = [place for key, place in empty.items() if boxes[key]]
        if both:
            raise UserError(f"{both[0]}: the phrase has a box in another line, and none in this. Remove one of them.")
        return [
            (file, Phrase(f"{file}#{i}", text, tuple(found), kinds[file, text], absent=not found))
            for i, ((file, text), found) in enumerate(boxes.items())
        ]

    def _size(self, file: str, place: str) -> tuple[float, float] | None:
        """The size of a photo; None of one that is missing, which is complained of, or left out, when all are known."""
        if (self.root / file).exists():
            return image_size(self.root / file)
        if self.on_missing == "ignore":
            raise UserError(
                f"{place}: {self.root / file} is missing, so its size is not known: give boxes as shares of the photo "
                "with data.unit=shares, or set data.on_missing=skip."
            )
        return None


def _number(place: str, row: dict[str, Any], side: str) -> float | None:
    value = row.get(side)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise UserError(f"{place}: {side} should be a number, or empty, found {value!r}.") from None
