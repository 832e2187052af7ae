"""Photos in one folder a class: Caltech-101 (Fei-Fei, Fergus and Perona 2004), CIFAR-10 as files, or a user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from captioning.data.choices import check_templates
from captioning.data.file_source import Photos
from captioning.errors import UserError
from captioning.example import Example
from captioning.media.finding import find_images


class LabelledFolders(Photos):
    """Photos by class: `root`/CLASS/photo.jpg. An example's label is its folder's name, its captions are prompts of it.

    Args:
        root: the folder of the classes' folders.
        train_per_class: of the photos of a class, in the order of their names, so many are "train" and the others
            "test"; None: all but those of "val" are "train", and "test" is empty.
        val_per_class: so many photos of a class, the last before those of "test", are "val".
        names: what a class is called where that is not its folder's name with spaces for underscores.
        templates: the prompts, in which {} stands for a class's name.
        leave_out: folders that are no classes, such as Caltech-101's BACKGROUND_Google.
    """

    name = "labelled folders"
    things = "photos"
    metrics = ("zero_shot",)

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        train_per_class: int | None = None,
        val_per_class: int = 0,
        names: Mapping[str, str] | None = None,
        templates: Sequence[str] = ("a photo of a {}.",),
        leave_out: Sequence[str] = ("BACKGROUND_Google",),
        on_missing: str = "error",
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        if train_per_class is not None and train_per_class < 1:
            raise UserError(f"train_per_class={train_per_class}: it is 1 or more, or null")
        if val_per_class < 0:
            raise UserError(f"val_per_class={val_per_class}: it is 0 or more")
        self.train_per_class, self.val_per_class, self.leave_out = train_per_class, val_per_class, tuple(leave_out)
        self.called, self.templates = dict(names or {}), check_templates(templates)

    @property
    def classes(self) -> list[str]:
        """Names of the folders, sorted. Raises UserError where there is none."""
        if not self.root.is_dir():
            raise UserError(f"{self.root} is not a folder: it holds a folder for each class")
        names = sorted(path.name for path in self.root.iterdir() if path.is_dir() and path.name not in self.leave_out)
        if not names:
            raise UserError(f"{self.root} holds no folders: it needs one for each class")
        return names

    def prompts(self, name: str) -> tuple[str, ...]:
        """The captions of a class's photos."""
        called = self.called.get(name, name.replace("_", " "))
        return tuple(template.replace("{}", called) for template in self.templates)

    def annotations(self, split: str) -> Path:
        return self.root

    def remedy(self) -> str:
        return f"Put the photos of each class into a folder of {self.root}"

    def read(self, split: str) -> list[Example]:
        examples = []
        for name in self.classes:
            files = sorted(find_images(self.root / name, True))
            begin = max(0, len(files) - self.val_per_class) if self.train_per_class is None else self.train_per_class
            end = begin + self.val_per_class
            part = {"train": files[:begin], "val": files[begin:end], "test": files[end:]}[split]
            for file in part:
                place = os.fspath(Path(file).relative_to(self.root))
                examples.append(Example(place, place, self.prompts(name), labels=(name,)))
        return examples
