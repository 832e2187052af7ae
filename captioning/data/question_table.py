"""A person's own questions: a table of files, questions and answers, as CSV or as one JSON object a line."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from captioning.data.file_source import split_name
from captioning.data.questions import Question, QuestionedExample, QuestionPhotos, grouped
from captioning.data.table import hash_splits
from captioning.errors import UserError
from captioning.files.annotations import parse_json, read_lines, read_text

SEPARATOR = "|"  # between the answers of several people in a CSV cell


class QuestionTable(QuestionPhotos):
    """Questions from a CSV file with a header line, or from JSON lines (`.jsonl`, `.ndjson`), one a line.

    The columns are `file`, `question` and `answer`, and, if wanted, `answers` (of several people: a list, in CSV
    with | between them), `kind`, `split` and `id`. Where no line has a split, photos are divided by a hash of their
    file, as those of a table of captions are.

    Args:
        file: the table, UTF-8.
        root: folder that the files are relative to; by default the folder of the table.
        val_fraction: share of the photos for `val` where there is no split column, 0 to 1.
        test_fraction: the same for `test`.
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
        on_missing: str = "error",
        name: str | None = None,
    ) -> None:
        self.file = Path(file).expanduser()
        super().__init__(self.file.parent if root is None else root, on_missing=on_missing)
        self.name = name or self.file.stem
        if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
            raise UserError("data.val_fraction and data.test_fraction must be 0 or more and add up to less than 1.")
        self.val_fraction, self.test_fraction = val_fraction, test_fraction

    def annotations(self, split: str) -> Path:
        return self.file

    def remedy(self) -> str:
        return f"Put them under {self.root}, or set data.root to their folder"

    def read(self, split: str) -> list[QuestionedExample]:
        return grouped((file, file, question) for file, question in self._asked if self._split_of[file] == split)

    def everything(self) -> list[QuestionedExample]:
        """All pictures, whatever their split."""
        return grouped((file, file, question) for file, question in self._asked)

    @cached_property
    def _rows(self) -> list[tuple[str, dict[str, Any]]]:
        """(place for errors, values) of every line."""
        json_lines = self.file.suffix.lower() in (".jsonl", ".ndjson")
        return list(self._json_rows() if json_lines else self._csv_rows())

    @cached_property
    def _asked(self) -> list[tuple[str, Question]]:
        found = []
        for number, (place, row) in enumerate(self._rows):
            for field in ("file", "question"):
                if not isinstance(row.get(field), str) or not row[field].strip():
                    raise UserError(f"{place}: {field} should be text, found {row.get(field)!r}.")
            answers = row.get("answers") or ()
            answers = answers.split(SEPARATOR) if isinstance(answers, str) else answers
            answer = row.get("answer") or ""
            if not isinstance(answer, str) or not all(isinstance(one, str) for one in answers):
                raise UserError(f"{place}: answer should be text, and answers a list of texts.")
            answers = tuple(one.strip() for one in answers if one.strip()) or (
                (answer.strip(),) if answer.strip() else ()
            )
            best = answer.strip() or (max(answers, key=answers.count) if answers else "")
            one = Question(
                row.get("id") or number, row["question"].strip(), answers, best, kind=str(row.get("kind") or "")
            )
            found.append((row["file"].strip(), one))
        numbered = ((one.id, (file, one)) for file, one in found)
        return list(self.checks.unique(self.file, numbered, "question ids").values())

    @cached_property
    def _split_of(self) -> dict[str, str]:
        named: dict[str, str] = {}
        for place, row in self._rows:
            if row.get("split"):
                split = split_name(str(row["split"]))
                if split is None:
                    raise UserError(f"{place}: the split {row['split']!r} is unknown. Name them train, val or test.")
                if named.setdefault(row["file"].strip(), split) != split:
                    raise UserError(f"{place}: {row['file']} is in a second split. Put each photo into one.")
        files = dict.fromkeys(file for file, _ in self._asked)
        if not named:
            return hash_splits(files, self.val_fraction, self.test_fraction)
        without = [file for file in files if file not in named]
        if without:
            raise UserError(f"{self.file}: {without[0]} has no split. Fill in split for all photos or for none.")
        return named

    def _json_rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, line in read_lines(self.file, "Set data.file to your table."):
            place = f"{self.file}, line {number}"
            row = parse_json(line, place)
            if not isinstance(row, dict):
                raise UserError(f"{place}: expected a JSON object, found {line[:60]}.")
            yield place, row

    def _csv_rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        text = read_text(self.file, "Set data.file to your table.")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            header = [name.strip() for name in next(lines, [])]
            for needed in ("file", "question"):
                if needed not in header:
                    raise UserError(f"{self.file} has no column {needed}; its header is {','.join(header)[:80]!r}.")
            for cells in filter(None, lines):
                place = f"{self.file}, line {lines.line_num}"
                if len(cells) != len(header):
                    raise UserError(
                        f"{place} has {len(cells)} columns where the header has {len(header)}. "
                        "A question with a comma in it needs double quotes around it."
                    )
                yield place, dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise UserError(f"{self.file}, line {lines.line_num}: {error}. Mend the line.") from error
