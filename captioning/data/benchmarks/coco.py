"""COCO captions (Chen et al., 2015) and, where asked for, COCO's boxes (Lin et al., ECCV 2014)."""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from pathlib import Path
from typing import Any

from captioning.data.download.archives import COCO_PHOTOS, Archive, coco_photos, coco_text
from captioning.data.file_source import Photos, split_name
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.annotations import entries, read_json

NUMBERED_SIZES = {"id": (int, str), "width": (int, float), "height": (int, float)}
Box = tuple[float, float, float, float]


class Coco(Photos):
    """Photos and captions in the official COCO layout; any data set in the same JSON format by its file names.

    `{split}` and `{year}` in a name are replaced. The test split has no public captions; `Karpathy` has one.

    Args:
        root: folder in which the other names are looked up.
        year: 2017 or 2014.
        captions: the captions JSON.
        photos: folder of a split's photos.
        boxes: also read `instances`: the boxes of single objects and their category names. Boxes that mark a crowd
            (`iscrowd`) or have no area are left out. Takes some 15 seconds for the whole of train2017.
        instances: the instances JSON.
        on_missing: "error", "skip" or "ignore", see `captioning.data.file_source.Photos`.
    """

    name = "coco"
    splits = ("train", "val")

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/coco",
        *,
        year: int = 2017,
        captions: str = "annotations/captions_{split}{year}.json",
        photos: str = "{split}{year}",
        boxes: bool = False,
        instances: str = "annotations/instances_{split}{year}.json",
        on_missing: str = "error",
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        self.year = year
        self.captions = captions
        self.photos = photos
        self.boxes = boxes
        self.instances = instances

    @property
    def official(self) -> dict[str, int]:
        return {split: photos for (year, split), (photos, *_) in COCO_PHOTOS.items() if year == self.year}

    @property
    def archives(self) -> tuple[Archive, ...]:
        return (*coco_text(self.year), *coco_photos(self.year))

    def annotations(self, split: str) -> Path:
        return self.root / self._named("captions", split)

    def remedy(self) -> str:
        return f"Unpack {{train,val}}{self.year}.zip of COCO into {self.root}, or set data.photos"

    def examples(self, split: str) -> list[Example]:
        if split_name(str(split)) == "test":
            raise UserError(
                "coco has no captions of split test: they are not published. "
                "Use data=karpathy_coco, which has a test split, or data.split=val."
            )
        return super().examples(split)

    def read(self, split: str) -> list[Example]:
        path = self.annotations(split)
        document = read_json(path, f"Unpack {self._text_archive} into {self.root}, or set data.captions.")
        listed = entries(document, "images", {"id": (int, str), "file_name": str}, path)
        images = self.checks.unique(path, ((image["id"], image) for image in listed), "image ids")
        captions = self._captions(document, images, path)
        boxes = self._boxes(split, images) if self.boxes else {}
        folder = self._named("photos", split)
        examples = []
        for image_id, image in images.items():
            found = boxes.get(image_id, ())
            examples.append(
                Example(
                    image_id,
                    posixpath.join(folder, image["file_name"]),
                    tuple(captions[image_id]),
                    tuple(box for box, _ in found),
                    tuple(label for _, label in found),
                )
            )
        return examples

    def _captions(self, document: Any, images: dict, path: Path) -> dict[int | str, list[str]]:
        fields = {"image_id": (int, str), "caption": str}
        listed = entries(document, "annotations", fields, path, {"id": (int, str)})
        numbered = ((f"number {i}" if one.get("id") is None else one["id"], one) for i, one in enumerate(listed))
        captions: dict[int | str, list[str]] = {image_id: [] for image_id in images}
        strays = []
        for one in self.checks.unique(path, numbered, "caption ids").values():
            if one["image_id"] in captions:
                captions[one["image_id"]].append(one["caption"])
            else:
                strays.append(f"that of image {one['image_id']}")
        self.checks.report(path, strays, len(listed), "captions", "of an image that is not listed", "Remove them")
        return captions

    def _boxes(self, split: str, images: dict) -> dict[int | str, list[tuple[Box, str]]]:
        """Image id -> [((x1, y1, x2, y2) in [0, 1], category name)], of the images asked for."""
        path = self.root / self._named("instances", split)
        document = read_json(path, f"Unpack {self._text_archive} into {self.root}, or set data.boxes=false.")
        names = {one["id"]: one["name"] for one in entries(document, "categories", {"id": int, "name": str}, path)}
        sized = entries(document, "images", NUMBERED_SIZES, path)
        sizes = {one["id"]: (one["width"], one["height"]) for one in sized}
        boxes = defaultdict(list)
        fields = {"image_id": (int, str), "category_id": int, "bbox": list}
        for index, one in enumerate(entries(document, "annotations", fields, path)):
            if one["image_id"] not in images or one.get("iscrowd"):
                continue
            width, height = sizes.get(one["image_id"], (0, 0))
            if width <= 0 or height <= 0 or one["category_id"] not in names or not _is_box(one["bbox"]):
                raise UserError(
                    f"{path}: annotations[{index}] should have an image with a size, a category that is listed and "
                    f"four numbers as bbox. Mend it, or set data.boxes=false."
                )
            box = _normalized(one["bbox"], width, height)
            if box[0] < box[2] and box[1] < box[3]:
                boxes[one["image_id"]].append((box, names[one["category_id"]]))
        return boxes

    @property
    def _text_archive(self) -> str:
        return f"annotations_trainval{self.year}.zip"

    def _named(self, option: str, split: str) -> str:
        template = getattr(self, option)
        try:
            return template.format(split=split, year=self.year)
        except (KeyError, IndexError, ValueError) as error:
            raise UserError(f"data.{option}: {template!r} may hold only {{split}} and {{year}} in braces.") from error


def _is_box(box: list) -> bool:
    return len(box) == 4 and all(isinstance(number, (int, float)) for number in box)


def _normalized(box: list[float], width: int, height: int) -> Box:
    """COCO's (x, y, width, height) in pixels -> (x1, y1, x2, y2) in [0, 1], cut off at the edge of the image."""
    x, y, w, h = box
    return (
        min(max(x / width, 0.0), 1.0),
        min(max(y / height, 0.0), 1.0),
        min(max((x + w) / width, 0.0), 1.0),
        min(max((y + h) / height, 0.0), 1.0),
    )
