"""easy-VQA (Victor Zhou, 2019): 5,000 pictures of one coloured shape each, 48,248 questions, 13 answers."""

from __future__ import annotations

import os
from pathlib import Path

from captioning.data.questions import Question, QuestionedExample, QuestionPhotos, grouped
from captioning.data.table import hash_splits
from captioning.errors import UserError
from captioning.files.annotations import read_json


class EasyVqa(QuestionPhotos):
    """The repository's `data` folder as it is. `val` is a part of its training pictures, by a hash of their numbers.

    Args:
        root: folder of data/train/questions.json, data/test/questions.json and the pictures in images/ beside them.
        val_fraction: share of the training pictures that is `val`; 0 trains on all.
        on_missing: "error", "skip" or "ignore", see `Photos`.
    """

    name = "easy_vqa"
    official = {"test": 1000}
    by_hand = "it is the data folder of the GitHub repository vzhou842/easy-VQA."

    def __init__(
        self, root: str | os.PathLike[str] = "data/easy_vqa", *, val_fraction: float = 0.1, on_missing: str = "error"
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        if not 0 <= val_fraction < 1:
            raise UserError(f"data.val_fraction={val_fraction}: give a share from 0 to less than 1.")
        self.val_fraction = val_fraction
        if not val_fraction:
            self.splits = ("train", "test")

    def annotations(self, split: str) -> Path:
        return self.root / "data" / ("test" if split == "test" else "train") / "questions.json"

    def remedy(self) -> str:
        return f"Copy the repository's data folder into {self.root}"

    def read(self, split: str) -> list[QuestionedExample]:
        path = self.annotations(split)
        listed = read_json(path, f"{self.remedy()}, or set data.root.")
        if not isinstance(listed, list):
            raise UserError(f"{path} should be a list of questions. Check that it is the right file.")
        for index, one in enumerate(listed):
            if not isinstance(one, list) or [type(part) for part in one] != [str, str, int]:
                raise UserError(f"{path}: entry {index} should be [question, answer, number of the picture].")
        part = path.parent.name
        if split != "test" and self.val_fraction:
            splits = hash_splits({number for _, _, number in listed}, self.val_fraction, 0.0)
        else:
            splits = dict.fromkeys((number for _, _, number in listed), split)
        return grouped(
            (
                f"{part}/{number}",
                f"data/{part}/images/{number}.png",
                Question(index, text, (answer,), answer, answer_type=_type_of(answer)),
            )
            for index, (text, answer, number) in enumerate(listed)
            if splits[number] == split
        )


def _type_of(answer: str) -> str:
    return "yes/no" if answer in ("yes", "no") else "other"
