"""Questions about COCO photos, ten answers each: VQA v1 (Antol et al., ICCV 2015), v2 (Goyal et al., CVPR 2017)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from captioning.data.questions import Question, QuestionedExample, QuestionPhotos, grouped
from captioning.errors import UserError
from captioning.files.annotations import entries, read_json

REMEDY = "Unpack the official questions and annotations there, or set data.root."
YEARS = {"train": "train2014", "val": "val2014", "test": "test2015"}


class Vqa(QuestionPhotos):
    """The open-ended questions in the official layout. Those of `test` have no published answers.

    Args:
        root: folder of `v2_OpenEnded_mscoco_train2014_questions.json`, `v2_mscoco_train2014_annotations.json`, ...
            and of COCO's photos in train2014/, val2014/ and test2015/.
        version: 2, or 1, whose files are called the same without `v2_`.
        photos: folder of a split's photos, with `{split}` for train2014, val2014 or test2015.
        on_missing: "error", "skip" or "ignore", see `Photos`.
    """

    name = "vqa"
    metrics = ("vqa",)
    by_hand = "questions and annotations are on visualqa.org, the photos are COCO's of 2014 (test: 2015)."

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/vqa",
        *,
        version: int = 2,
        photos: str = "{split}",
        on_missing: str = "error",
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        if version not in (1, 2):
            raise UserError(f"data.version={version}: VQA has versions 1 and 2.")
        self.version, self.photos = version, photos
        self.name = f"vqa{version}"

    def annotations(self, split: str) -> Path:
        return self.root / f"{self._prefix}OpenEnded_mscoco_{YEARS[split]}_questions.json"

    def remedy(self) -> str:
        return f"Unpack COCO's train2014.zip, val2014.zip and test2015.zip into {self.root}"

    def read(self, split: str) -> list[QuestionedExample]:
        path = self.annotations(split)
        answered = self._answers(split) if split != "test" else {}
        asked = read_questions(path)
        numbered = self.checks.unique(path, ((one["question_id"], one) for one in asked), "question ids")
        without = [number for number in numbered if number not in answered] if answered else []
        self.checks.report(path, without, len(numbered), "questions", "without answers", "Take both files of one split")
        left_out = set(without)
        folder = self.photos.format(split=YEARS[split])
        return grouped(
            (
                one["image_id"],
                f"{folder}/COCO_{YEARS[split]}_{one['image_id']:012d}.jpg",
                replace(answered.get(number, Question(number, "")), text=one["question"]),
            )
            for number, one in numbered.items()
            if number not in left_out
        )

    @property
    def _prefix(self) -> str:
        return "v2_" if self.version == 2 else ""

    def _answers(self, split: str) -> dict[int, Question]:
        return read_answers(self.root / f"{self._prefix}mscoco_{YEARS[split]}_annotations.json")


def read_questions(path: Path) -> list[dict]:
    """The entries of an official questions file: question_id, image_id, question."""
    return entries(read_json(path, REMEDY), "questions", {"question_id": int, "image_id": int, "question": str}, path)


def read_answers(path: Path) -> dict[int, Question]:
    """Question id -> answers and kinds, of an official annotations file. The texts of the questions are elsewhere."""
    fields = {"question_id": int, "answers": list, "question_type": str, "answer_type": str}
    listed = entries(read_json(path, REMEDY), "annotations", fields, path, {"multiple_choice_answer": str})
    found = {}
    for index, one in enumerate(listed):
        said = [answer.get("answer") if isinstance(answer, dict) else None for answer in one["answers"]]
        if not said or not all(isinstance(answer, str) for answer in said):
            raise UserError(f"{path}: annotations[{index}].answers should be a list of objects with an answer each.")
        kinds = {"kind": one["question_type"], "answer_type": one["answer_type"]}
        best = one.get("multiple_choice_answer") or max(said, key=said.count)
        found[one["question_id"]] = Question(one["question_id"], "", tuple(said), best, **kinds)
    return found
