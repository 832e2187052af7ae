"""Visual Relationship Detection (Lu et al. 2016, arXiv:1608.00187): 5,000 photos, 100 objects, 70 predicates."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Any

from captioning.boxes import Corners, as_corners
from captioning.data.file_source import photo_folder
from captioning.data.graphs import GraphExample, GraphPhotos
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.annotations import read_json

FOLDERS = ("sg_dataset/sg_{split}_images", "sg_{split}_images", "{split}_images", "images", ".")
REMEDY = "Unpack json_dataset.zip of VRD there, or set data.root."


class Vrd(GraphPhotos):
    """`json_dataset`: for each photo its relations; things are boxes that they name, each box and name once.

    A relation that is listed twice is there once, photos without any are left out, as all do.

    Args:
        root: folder of json_dataset and of the photos.
        photos: the photos' folder, in which {split} is train or test; None: one of the usual ones.
        on_missing: see `Photos`. With "ignore" a photo need not be there, and where no file has its size
            (SPLIT_image_metadata.json, {name: {width, height}}) its boxes are shares of what all of them cover.
    """

    name = "vrd"
    splits = ("train", "test")
    official = {"train": 3780, "test": 955}
    by_hand = "cs.stanford.edu/people/ranjaykrishna/vrd has json_dataset.zip and sg_dataset.zip."

    def __init__(
        self, root: str | os.PathLike[str] = "data/vrd", *, photos: str | None = None, on_missing: str = "error"
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        self.photos = photos

    @property
    def folder(self) -> Path:
        inner = self.root / "json_dataset"
        return inner if inner.is_dir() else self.root

    def annotations(self, split: str) -> Path:
        return self.folder / f"annotations_{split}.json"

    def remedy(self) -> str:
        return f"Unpack sg_dataset.zip into {self.root}, or set data.photos"

    def names(self, kind: str) -> list[str]:
        """The names of "objects" or "predicates" in the order of their numbers."""
        path = self.folder / f"{kind}.json"
        names = read_json(path, REMEDY)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{path} is not a list of names. {REMEDY}")
        return names

    def read(self, split: str) -> list[Example]:
        path = self.annotations(split)
        document = read_json(path, REMEDY)
        if not isinstance(document, dict):
            raise UserError(f"{path} should be an object with a list of relations for each photo. {REMEDY}")
        objects, predicates, sizes = self.names("objects"), self.names("predicates"), self._sizes(split)
        candidates = [self.photos] if self.photos else FOLDERS
        folder = photo_folder(self.root, [name.replace("{split}", split) for name in candidates], document)
        examples: list[Example] = []
        for name, listed in document.items():
            file = posixpath.normpath(posixpath.join(folder, name))
            where = f"{path}: {name}"
            examples.append(self._example(where, file, name, listed, objects, predicates, sizes.get(name)))
        return examples

    def _example(
        self,
        where: str,
        file: str,
        name: str,
        listed: Any,
        objects: list[str],
        predicates: list[str],
        size: tuple[float, float] | None,
    ) -> GraphExample:
        if not isinstance(listed, list):
            raise UserError(f"{where} should have a list of relations. {REMEDY}")
        nodes: dict[tuple[int, tuple[float, ...]], int] = {}
        relations: dict[tuple[int, str, int], None] = {}
        for index, one in enumerate(listed):
            place = f"{where}[{index}]"
            subject, thing = (_node(one, side, len(objects), f"{place}.{side}") for side in ("subject", "object"))
            number = one.get("predicate")
            if type(number) is not int or not 0 <= number < len(predicates):
                raise UserError(f"{place}.predicate is {number!r}, of {len(predicates)} predicates. {REMEDY}")
            ends = [nodes.setdefault(node, len(nodes)) for node in (subject, thing)]
            relations[ends[0], predicates[number], ends[1]] = None
        corners = [(x1, y1, x2, y2) for _, (y1, y2, x1, x2) in nodes]
        if size is None or any(x2 > size[0] + 1 or y2 > size[1] + 1 for _, _, x2, y2 in corners):
            size = self.size(file, corners)  # of one training photo the published size is that of another copy
        boxes: list[Corners] = [as_corners(box, "yyxx", size, where) for _, box in nodes]
        labels = tuple(objects[number] for number, _ in nodes)
        return GraphExample(name, file, (), tuple(boxes), labels, relations=tuple(relations))

    def _sizes(self, split: str) -> dict[str, tuple[float, float]]:
        path = self.root / f"{split}_image_metadata.json"
        if not path.is_file():
            return {}
        document, sizes = read_json(path), {}
        for name, one in document.items() if isinstance(document, dict) else ():
            both = [one.get(side) for side in ("width", "height")] if isinstance(one, dict) else []
            if len(both) != 2 or not all(type(side) in (int, float) and side > 0 for side in both):
                raise UserError(f"{path}: {name} should have a width and a height. Remove the file, or mend it.")
            sizes[name] = (both[0], both[1])
        return sizes


def _node(one: Any, side: str, objects: int, where: str) -> tuple[int, tuple[float, ...]]:
    """Number of the name, and the box as it stands. Raises UserError for what is none."""
    node = one.get(side) if isinstance(one, dict) else None
    number, box = (node.get("category"), node.get("bbox")) if isinstance(node, dict) else (None, None)
    if type(number) is not int or not 0 <= number < objects or not isinstance(box, list) or len(box) != 4:
        raise UserError(f"{where} should have a category, from 0 to {objects - 1}, and a bbox of 4 numbers. {REMEDY}")
    if not all(type(value) in (int, float) for value in box):
        raise UserError(f"{where}.bbox should be 4 numbers, found {str(box)[:60]}. {REMEDY}")
    return number, tuple(box)
