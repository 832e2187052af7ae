"""VG150: Visual Genome with 150 objects and 50 predicates in the split that scene graphs are compared on.

Xu et al. 2017 (arXiv:1701.02426); the files are VG-SGG.h5, VG-SGG-dicts.json and image_data.json.
"""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Any

import numpy as np

from captioning.boxes import as_corners
from captioning.data.graphs import GraphExample, GraphPhotos
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.annotations import entries, read_json

CORRUPTED = {"1592.jpg", "1722.jpg", "4616.jpg", "4617.jpg"}  # which the h5 file does not count
SIDE = 1024  # pixels of the longer side, in which the boxes are
FIELDS = (
    "split",
    "labels",
    "boxes_1024",
    "predicates",
    "relationships",
    "img_to_first_box",
    "img_to_last_box",
    "img_to_first_rel",
    "img_to_last_rel",
)
REMEDY = "Fetch it from the repository danfeixu/scene-graph-TF-release, or set data.root."


class Vg150(GraphPhotos):
    """The split files of VG150. Of the training photos with relations the first `val` are "val", as in Neural Motifs.

    Args:
        root: folder of the three files and of the photos.
        photos: the photos' folder.
        val: photos of "val".
        on_missing: see `Photos`.
    """

    name = "vg150"
    by_hand = REMEDY

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/visual_genome",
        *,
        photos: str = "VG_100K",
        val: int = 5000,
        on_missing: str = "error",
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        if val < 0:
            raise UserError(f"data.val={val}: it is 0 or more")
        self.photos, self.val = photos, val

    def annotations(self, split: str) -> Path:
        return self.root / "VG-SGG.h5"

    def remedy(self) -> str:
        return f"Put Visual Genome's photos into {self.root / self.photos}, or set data.photos"

    def read(self, split: str) -> list[Example]:
        path, arrays = self.annotations(split), self._arrays()
        labels, predicates = self._names("label"), self._names("predicate")
        listed = entries(
            {"images": read_json(self.root / "image_data.json", REMEDY)},
            "images",
            {"image_id": int, "width": (int, float), "height": (int, float)},
            self.root / "image_data.json",
        )
        listed = [one for one in listed if f"{one['image_id']}.jpg" not in CORRUPTED]
        if len(listed) != len(arrays["split"]):
            raise UserError(f"{path} is about {len(arrays['split']):,} photos, image_data.json about {len(listed):,}.")
        wanted = 2 if split == "test" else 0
        there = (arrays["split"] == wanted) & (arrays["img_to_first_box"] >= 0) & (arrays["img_to_first_rel"] >= 0)
        index = np.flatnonzero(there)
        index = index if split == "test" else index[: self.val] if split == "val" else index[self.val :]
        try:
            return [self._example(int(i), listed[int(i)], arrays, labels, predicates) for i in index]
        except (IndexError, KeyError) as error:
            raise UserError(f"{path} names what is not there ({error}). {REMEDY}") from None

    def _example(self, i: int, about: dict, arrays: dict, labels: dict, predicates: dict) -> GraphExample:
        first, last = int(arrays["img_to_first_box"][i]), int(arrays["img_to_last_box"][i])
        start, end = int(arrays["img_to_first_rel"][i]), int(arrays["img_to_last_rel"][i])
        scale = SIDE / max(about["width"], about["height"])
        size = (about["width"] * scale, about["height"] * scale)
        where = f"{self.annotations('')}: image {about['image_id']}"
        boxes = tuple(
            as_corners([float(v) for v in box], "cxcywh", size, where) for box in arrays["boxes_1024"][first : last + 1]
        )
        edges: dict[tuple[int, str, int], None] = {}
        numbers = arrays["predicates"].ravel()[start : end + 1]
        for (s, o), number in zip(arrays["relationships"][start : end + 1], numbers, strict=True):
            ends = int(s) - first, int(o) - first
            if not all(0 <= one < len(boxes) for one in ends):
                raise UserError(f"{where}: a relation names a box of another photo. {REMEDY}")
            edges[ends[0], predicates[int(number)], ends[1]] = None
        names = tuple(labels[int(number)] for number in arrays["labels"].ravel()[first : last + 1])
        file = posixpath.join(self.photos, f"{about['image_id']}.jpg")
        return GraphExample(about["image_id"], file, (), boxes, names, relations=tuple(edges))

    def _names(self, kind: str) -> dict[int, str]:
        path = self.root / "VG-SGG-dicts.json"
        document = read_json(path, REMEDY)
        names = document.get(f"idx_to_{kind}") if isinstance(document, dict) else None
        if not isinstance(names, dict) or not all(number.isdecimal() for number in names):
            raise UserError(f"{path} has no idx_to_{kind}. {REMEDY}")
        return {int(number): str(name) for number, name in names.items()}

    def _arrays(self) -> dict[str, Any]:
        path = self.annotations("")
        try:
            import h5py
        except ImportError:
            raise UserError("VG150 is an HDF5 file, which needs: pip install 'captioning[features]'") from None
        if not path.is_file():
            raise UserError(f"{path} does not exist. {REMEDY}")
        try:
            with h5py.File(path, "r") as file:
                missing = [name for name in FIELDS if name not in file]
                if missing:
                    raise UserError(f"{path} has no {missing[0]}. {REMEDY}")
                return {name: file[name][()] for name in FIELDS}
        except OSError as error:
            raise UserError(f"{path} cannot be read as HDF5 ({str(error)[:100]}). {REMEDY}") from None
