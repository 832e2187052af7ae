"""Indoor photos with depth: NYU Depth v2 (Silberman et al. 2012) as files beside the photos of DAQUAR."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from captioning.data.benchmarks.daquar import run_splits
from captioning.data.file_source import Photos
from captioning.data.senses import SensedExample
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.annotations import read_lines
from captioning.media.depth_map import DepthMap

BACKGROUND = ("wall", "floor", "ceiling", "otherstructure", "otherfurniture", "otherprop")


class NyuDepth(Photos):
    """Photos, their depth in PNGs of the same name, and of each a sentence of what its class labels say is in it.

    Photos with consecutive numbers show one room, and go to one split together.

    Args:
        root: folder of the photos, as image12.jpg.
        depth: folder of depth/ and, for the sentences, labels40/ and classes40.txt.
        val_fraction: share of the runs of photos that is `val`.
        least: the share of the pixels from which on something is named, in the order of size, `most` things at most.
        captions: which photos have their sentence, "train", "val" or both: to learn depth from photos alone, "val".
    """

    name = "nyu_depth"
    splits = ("train", "val")
    metrics = ("binding",)
    by_hand = "photos and depth are on the page of NYU Depth v2, for research."

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/daquar/images",
        *,
        depth: str | os.PathLike[str] = "data/nyu_depth",
        val_fraction: float = 0.2,
        least: float = 0.02,
        most: int = 5,
        captions: tuple[str, ...] = ("val",),
        on_missing: str = "error",
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        if not 0 < val_fraction < 1 or not 0 <= least < 1 or most < 1:
            raise UserError("data: val_fraction is between 0 and 1, least from 0 to below 1, most 1 or more")
        self.folder, self.val_fraction, self.least, self.most = Path(depth).expanduser(), val_fraction, least, most
        self.told = tuple(captions)

    def annotations(self, split: str) -> Path:
        return self.folder / "depth"

    def remedy(self) -> str:
        return f"Put the photos into {self.root}"

    def examples(self, split: str) -> list[Example]:
        """As `Photos.examples`; photos without a sentence are no defect."""
        if split not in self.splits:
            raise UserError(f"{self.name} has no split {split!r}. Its splits are {', '.join(self.splits)}.")
        if split not in self._examples:
            self._examples[split] = self.checks.present(self.root, self.read(split), split, self.remedy())
        return list(self._examples[split])

    def read(self, split: str) -> list[Example]:
        where = self.annotations(split)
        names = sorted(path.stem for path in where.glob("image*.png") if path.stem[5:].isdigit())
        if not names:
            raise UserError(f"{where} holds no image12.png. Put the depth of the photos there, or set data.depth.")
        splits = run_splits(names, self.val_fraction)
        tell = split in self.told
        found = []
        for name in (name for name in names if splits[name] == split):
            labels = self.labels(name) if tell else ()
            captions = (sentence(labels),) if labels else ()
            found.append(SensedExample(name, f"{name}.jpg", captions, labels=labels, senses=("depth",)))
        return found

    def labels(self, name: str) -> tuple[str, ...]:
        """What is in a photo by its class labels, the largest first; walls and the like are left out."""
        if not hasattr(self, "_classes"):
            lines = read_lines(self.folder / "classes40.txt", "Put NYU's forty names there.")
            self._classes = [line.strip() for _, line in lines]
        path = self.folder / "labels40" / f"{name}.png"
        try:
            with Image.open(path) as picture:
                counts = np.bincount(np.array(picture).reshape(-1), minlength=len(self._classes) + 1)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read as class labels: {error}") from None
        order = np.argsort(-counts[1 : len(self._classes) + 1], kind="stable")
        named = [(self._classes[i], counts[i + 1] / counts.sum()) for i in order.tolist()]
        return tuple(name for name, share in named if share > self.least and name not in BACKGROUND)[: self.most]

    def depth(self, example: Example) -> DepthMap:
        return DepthMap.open(self.folder / "depth" / f"{example.id}.png")


def sentence(labels: tuple[str, ...]) -> str:
    """ "a room with a bed, a lamp and a window"."""
    things = [f"an {name}" if name[0] in "aeiou" else f"a {name}" for name in labels]
    return "a room with " + (f"{', '.join(things[:-1])} and {things[-1]}" if len(things) > 1 else things[0])
