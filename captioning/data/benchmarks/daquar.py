"""Questions about indoor photos: DAQUAR (Malinowski and Fritz, NIPS 2014) on the photos of NYU Depth v2."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from captioning.data.file_source import photo_folder
from captioning.data.questions import Question, QuestionedExample, QuestionPhotos, grouped
from captioning.data.table import hash_splits
from captioning.errors import UserError
from captioning.files.annotations import read_lines

FILES = {
    "train": ("qa_pairs_train.txt", "qa.894.raw.train.txt"),
    "test": ("qa_pairs_test.txt", "qa.894.raw.test.txt"),
}
_PHOTO = re.compile(r"image\s*(\d+)", re.IGNORECASE)
_ASIDE = re.compile(r"\s*(?:\b(?:in|on|at|of|from)\s+)?(?:\b(?:the|this)\s+)?image\s*\d+\s*(?=\?|$)", re.IGNORECASE)


class Daquar(QuestionPhotos):
    """Two lines a pair: a question that ends in the name of its photo, and its answer, a list with commas.

    `val` is a part of the training photos. Photos with consecutive numbers show one room, so whole runs of numbers go
    to one split, as they do in the official one: its training photos come in runs of 6.4, single ones would in 2.2.
    Photos of a room that was learned make `val` easier; `val_by="photos"` tells by how much.

    Args:
        root: folder of qa_pairs_train.txt (or qa.894.raw.train.txt), the same of test, and the photos in images/ or
            nyu_depth_images/, as .jpg or .png.
        train, test: the files of pairs, where they have other names.
        val_fraction: share of the runs of training photos, or of the photos, that is `val`; 0 trains on all.
        val_by: "rooms" or "photos": what is kept together.
        on_missing: "error", "skip" or "ignore", see `Photos`.
    """

    name = "daquar"
    metrics = ("exact", "wups")
    official = {"test": 654}
    by_hand = "the pairs and the photos are on the page of the Max Planck Institute for Informatics, for research."

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/daquar",
        *,
        train: str | None = None,
        test: str | None = None,
        val_fraction: float = 0.1,
        val_by: Literal["rooms", "photos"] = "rooms",
        on_missing: str = "error",
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        if not 0 <= val_fraction < 1:
            raise UserError(f"data.val_fraction={val_fraction}: give a share from 0 to less than 1.")
        if val_by not in ("rooms", "photos"):
            raise UserError(f"data.val_by={val_by}: it is rooms or photos")
        self.files = {"train": train, "test": test}
        self.val_fraction, self.val_by = val_fraction, val_by
        if not val_fraction:
            self.splits = ("train", "test")

    def annotations(self, split: str) -> Path:
        part = "test" if split == "test" else "train"
        names = [self.files[part]] if self.files[part] else FILES[part]
        return next((self.root / name for name in names if (self.root / name).exists()), self.root / names[0])

    def remedy(self) -> str:
        return f"Put the photos into {self.root / 'images'}"

    def read(self, split: str) -> list[QuestionedExample]:
        path = self.annotations(split)
        lines = read_lines(path, "Put the official pairs there, or set data.root.")
        if len(lines) % 2:
            raise UserError(f"{path} has {len(lines):,} lines, where a question and an answer alternate. Mend it.")
        asked = []
        for (number, question), (_, answer) in zip(lines[::2], lines[1::2], strict=True):
            photos = _PHOTO.findall(question)
            if not photos:
                raise UserError(f"{path}, line {number}: {question[:60]!r} names no photo as image3. Mend the line.")
            text, answer = without_photo(question), answer.strip()
            one = Question(number, text, (answer,), answer, kind=" ".join(text.split()[:2]))
            asked.append((f"image{int(photos[-1])}", one))
        if split != "test" and self.val_fraction:
            photos = sorted({photo for photo, _ in asked})
            by_rooms = self.val_by == "rooms"
            splits = run_splits(photos, self.val_fraction) if by_rooms else hash_splits(photos, self.val_fraction, 0.0)
            asked = [(photo, one) for photo, one in asked if splits[photo] == split]
        folder, ending = self._photos({photo for photo, _ in asked})
        return grouped((photo, f"{folder}{photo}{ending}", one) for photo, one in asked)

    def _photos(self, names: Iterable[str]) -> tuple[str, str]:
        """Where the photos are: the folder, with its slash, and what their names end in."""
        folders = ("images", "nyu_depth_images", "")
        some = sorted(names)
        endings = (".jpg", ".png", ".jpeg")
        ending = next(
            (e for e in endings for f in folders if some and (self.root / f / (some[0] + e)).exists()), ".jpg"
        )
        folder = photo_folder(self.root, folders, [name + ending for name in some])
        return f"{folder}/" if folder else "", ending


def without_photo(question: str) -> str:
    """The question as a person would ask it, without "in the image3"."""
    return re.sub(r"\s+\?", "?", _ASIDE.sub("", question.strip()).strip())


def run_splits(photos: Iterable[str], val_fraction: float) -> dict[str, str]:
    """Photo -> train or val, where photos with consecutive numbers go together."""
    run_of: dict[str, int] = {}
    run, before = 0, None
    for photo in sorted(photos, key=_number):
        if before is None or _number(photo) != before + 1:
            run = _number(photo)
        run_of[photo], before = run, _number(photo)
    split_of = hash_splits(sorted(set(run_of.values())), val_fraction, 0.0)
    return {photo: split_of[run] for photo, run in run_of.items()}


def _number(photo: str) -> int:
    return int(photo.removeprefix("image"))
