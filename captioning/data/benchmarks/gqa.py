"""Questions composed from scene graphs: GQA (Hudson and Manning, CVPR 2019), its question files."""

from __future__ import annotations

import os
from pathlib import Path

from captioning.data.questions import Question, QuestionedExample, QuestionPhotos, grouped
from captioning.errors import UserError
from captioning.files.annotations import read_json

FILES = {"train": "train", "val": "val", "test": "testdev"}


class Gqa(QuestionPhotos):
    """One answer a question, of 1,878 in all. `test` is the published test-dev part.

    Args:
        root: folder of `train_balanced_questions.json`, `val_...`, `testdev_...` and of the photos in images/.
        balanced: the balanced questions; otherwise `{split}_all_questions.json`. The parts in which the whole training
            questions are published are joined by hand.
        on_missing: "error", "skip" or "ignore", see `Photos`.
    """

    name = "gqa"
    by_hand = "questions1.2.zip and images.zip are on the GQA page of Stanford."

    def __init__(
        self, root: str | os.PathLike[str] = "data/gqa", *, balanced: bool = True, on_missing: str = "error"
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        self.balanced = balanced

    def annotations(self, split: str) -> Path:
        return self.root / f"{FILES[split]}_{'balanced' if self.balanced else 'all'}_questions.json"

    def remedy(self) -> str:
        return f"Unpack images.zip into {self.root / 'images'}"

    def read(self, split: str) -> list[QuestionedExample]:
        path = self.annotations(split)
        document = read_json(path, f"Unpack questions1.2.zip into {self.root}, or set data.root.")
        if not isinstance(document, dict):
            raise UserError(f"{path} should be an object of questions by their ids. Check that it is the right file.")
        asked = []
        for number, one in document.items():
            fields = [one.get(field) if isinstance(one, dict) else None for field in ("imageId", "question", "answer")]
            if not all(isinstance(field, str) for field in fields):
                raise UserError(f"{path}: question {number} should have imageId, question and answer as text.")
            photo, text, answer = fields
            kinds = one.get("types") if isinstance(one.get("types"), dict) else {}
            kind = {"kind": str(kinds.get("structural") or ""), "answer_type": str(kinds.get("semantic") or "")}
            asked.append((photo, f"images/{photo}.jpg", Question(number, text, (answer,), answer, **kind)))
        return grouped(asked)
