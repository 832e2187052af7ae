"""Sounds of ten classes: ESC-10 (Piczak 2015), or any folder of sounds in a folder a class."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from captioning.data.senses import SensedExample
from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example
from captioning.files import fingerprint as files
from captioning.media.kinds import SOUND_EXTENSIONS
from captioning.media.sound import Sound

# What people write of such scenes; the classes are keywords.
NAMES = {
    "Dog bark": "a dog barking",
    "Rain": "rain",
    "Sea waves": "ocean waves",
    "Baby cry": "a baby crying",
    "Clock tick": "a clock ticking",
    "Person sneeze": "a person sneezing",
    "Helicopter": "a helicopter",
    "Chainsaw": "a man with a chainsaw",
    "Rooster": "a rooster",
    "Fire crackling": "a fire",
}
NUMBERED = re.compile(r"\d+\s*-\s*")


class Esc10(Source):
    """`root`/001 - Dog bark/1-100032-A.ogg: the first digit of a file's name is its fold.

    Its captions are prompts of its class, its picture is that of its spectrogram. The folds are those of the authors:
    sounds of one recording are in one fold.

    Args:
        root: the folder of the classes' folders.
        val, test: folds; all others are learned from.
        names: what a class is called where that is not its folder's name.
        templates: the prompts, in which {} stands for a class's name.
    """

    name = "esc10"
    things = "sounds"
    metrics = ("names",)
    official = {"train": 240, "val": 80, "test": 80}
    by_hand = "the sounds are in the history of github.com/karolpiczak/ESC-10 (CC BY 3.0)."

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/esc10",
        *,
        val: Sequence[int] = (4,),
        test: Sequence[int] = (5,),
        names: Mapping[str, str] | None = None,
        templates: Sequence[str] = ("{}",),
    ) -> None:
        self.root = Path(root).expanduser()
        self.folds = {"val": tuple(val), "test": tuple(test)}
        self.called = NAMES if names is None else dict(names)
        if set(val) & set(test) or not templates or [one for one in templates if "{}" not in one]:
            raise UserError("data: val and test are different folds, templates sentences with {} for the name")
        self.templates = tuple(templates)

    def examples(self, split: str) -> list[Example]:
        if split not in self.splits:
            raise UserError(f"{self.name} has no split {split!r}. Its splits are {', '.join(self.splits)}.")
        if not self.root.is_dir():
            raise UserError(f"{self.root} is not a folder: it holds a folder of sounds for each class")
        found = []
        for folder in sorted(path for path in self.root.iterdir() if path.is_dir() and path.name[:1] != "."):
            name = NUMBERED.sub("", folder.name, count=1)
            called = self.called.get(name, name.lower())
            prompts = tuple(template.replace("{}", called) for template in self.templates)
            for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in SOUND_EXTENSIONS):
                if self.split_of(path) == split:
                    place = os.fspath(path.relative_to(self.root))
                    found.append(SensedExample(place, place, prompts, labels=(called,), senses=("sound",)))
        if not found:
            raise UserError(f"{self.root} holds no sounds of the split {split}: CLASS/FOLD-NAME.ogg")
        return found

    def split_of(self, path: Path) -> str:
        """By the fold, the number with which a file's name begins. Raises UserError where there is none."""
        fold = path.name.partition("-")[0]
        if not fold.isdigit():
            raise UserError(f"{path} names no fold: sounds are called FOLD-NAME.ogg, such as 1-100032-A.ogg")
        return next((split for split, folds in self.folds.items() if int(fold) in folds), "train")

    def sound(self, example: Example) -> Sound:
        return Sound.open(self.root / example.file)

    def image(self, example: Example) -> Image.Image:
        """The spectrogram, grey, low pitches at the bottom."""
        from captioning.media.spectrogram import spectrogram_picture

        return spectrogram_picture(self.sound(example))

    def place(self) -> str:
        return os.path.realpath(self.root)

    def fingerprint(self, example: Example) -> str | None:
        return files.fingerprint(self.root / example.file)

    def content(self, example: Example) -> str | None:
        return files.content(self.root / example.file)
