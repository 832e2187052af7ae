"""A person's own questions: a table of files, questions and answers, as CSV or as one JSON object a line."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from captioning.data.questions import Question, QuestionedExample, QuestionPhotos, grouped
from captioning.data.row_table import Row, check_fractions, read_rows, splits_of, text_of
from captioning.errors import UserError

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
        check_fractions(val_fraction, test_fraction)
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
    def _rows(self) -> list[Row]:
        return read_rows(self.file, ("file", "question"))

    @cached_property
    def _asked(self) -> list[tuple[str, Question]]:
        found = []
        for number, (place, row) in enumerate(self._rows):
            file, asked = text_of(place, row, "file"), text_of(place, row, "question")
            answers = row.get("answers") or ()
            answers = answers.split(SEPARATOR) if isinstance(answers, str) else answers
            answer = row.get("answer") or ""
            if not isinstance(answer, str) or not all(isinstance(one, str) for one in answers):
                raise UserError(f"{place}: answer should be text, and answers a list of texts.")
            answers = tuple(one.strip() for one in answers if one.strip()) or (
                (answer.strip(),) if answer.strip() else ()
            )
            best = answer.strip() or (max(answers, key=answers.count) if answers else "")
            one = Question(row.get("id") or number, asked, answers, best, kind=str(row.get("kind") or ""))
            found.append((file, one))
        numbered = ((one.id, (file, one)) for file, one in found)
        return list(self.checks.unique(self.file, numbered, "question ids").values())

    @cached_property
    def _split_of(self) -> dict[str, str]:
        photos = list(dict.fromkeys(file for file, _ in self._asked))
        return splits_of(self.file, self._rows, photos, self.val_fraction, self.test_fraction)
