"""Referring expressions: RefCOCO and RefCOCO+ (Yu et al., ECCV 2016), RefCOCOg (Mao et al., CVPR 2016), on COCO's
photos of 2014."""

from __future__ import annotations

import io
import os
import pickle
import posixpath
from pathlib import Path
from typing import Any

from captioning.boxes import Corners, as_corners
from captioning.data.phrases import Phrase, PhrasedExample, PhrasePhotos, grouped
from captioning.errors import UserError
from captioning.files.annotations import entries, parse_json, read_bytes, read_json

BYS = {"refcoco": "unc", "refcoco+": "unc", "refcocog": "umd"}
OFFICIAL = {  # expressions of each split, as papers count them
    ("refcoco", "unc"): {"train": 120624, "val": 10834, "testA": 5657, "testB": 5095},
    ("refcoco+", "unc"): {"train": 120191, "val": 10758, "testA": 5726, "testB": 4889},
    ("refcocog", "umd"): {"train": 80512, "val": 4896, "test": 9602},
    ("refcocog", "google"): {"train": 85474, "val": 9536},
}
LARGEST = 1 << 30  # bytes of a file of references; the largest has some tens of millions


class RefCoco(PhrasePhotos):
    """Expressions that mean one thing each; a row for every sentence. `kind` is the category of the thing.

    Args:
        root: folder of refs(BY).p, or refs(BY).json with the same content, and of instances.json, or of a folder
            called as `variant` that holds them.
        variant: refcoco, refcoco+ or refcocog.
        by: who split it: unc, umd or google; by default as most do, umd for refcocog and unc for the others.
        photos: folder of COCO's photos of 2014, from `root` or anywhere.
        absent, on_missing: see `PhrasePhotos` and `Photos`.
    """

    by_hand = "the references are in the repository lichengunc/refer, the photos are COCO's train2014."

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/refcoco",
        *,
        variant: str = "refcoco",
        by: str | None = None,
        photos: str = "train2014",
        absent: int = 0,
        on_missing: str = "error",
    ) -> None:
        if variant not in BYS:
            raise UserError(f"data.variant={variant}: it is {', '.join(BYS)}")
        super().__init__(root, absent=absent, on_missing=on_missing)
        self.variant, self.by, self.photos, self.name = variant, by or BYS[variant], photos, variant
        self.splits = tuple(OFFICIAL.get((variant, self.by), {"train": 0, "val": 0, "test": 0}))

    @property
    def folder(self) -> Path:
        inner = self.root / self.variant
        return inner if inner.is_dir() else self.root

    def annotations(self, split: str) -> Path:
        names = [f"refs({self.by}).p", f"refs({self.by}).json"]
        return next((self.folder / name for name in names if (self.folder / name).exists()), self.folder / names[0])

    def remedy(self) -> str:
        return f"Put COCO's photos of 2014 into {self.root / self.photos}, or set data.photos to their folder"

    def read(self, split: str) -> list[PhrasedExample]:
        path = self.annotations(split)
        remedy = "Unpack the references there, or set data.root, data.variant or data.by."
        references = read_pickle(path, remedy) if path.suffix == ".p" else read_json(path, remedy)
        fields = {"ann_id": int, "image_id": int, "split": str, "sentences": list}
        listed = entries({"refs": references}, "refs", fields, path, {"ref_id": int, "category_id": int})
        things = self._things()
        located = []
        for index, one in enumerate(listed):
            if one["split"] != split:
                continue
            if one["ann_id"] not in things:
                raise UserError(f"{path}: refs[{index}] is about annotation {one['ann_id']}, which is not listed. ")
            image, file, box, kind = things[one["ann_id"]]
            for i, sentence in enumerate(one["sentences"]):
                text = sentence.get("raw") or sentence.get("sent") if isinstance(sentence, dict) else None
                if not isinstance(text, str):
                    raise UserError(f"{path}: refs[{index}].sentences[{i}] has no text. Unpack it again.")
                number = sentence.get("sent_id", f"{one['ann_id']}/{i}")
                located.append((image, file, Phrase(number, text.strip(), (box,), kind)))
        return grouped(located)

    def _things(self) -> dict[int, tuple[int, str, Corners, str]]:
        """Annotation's id -> id and file of its photo, its box, its category."""
        path = self.folder / "instances.json"
        document = read_json(path, "Unpack the references there, or set data.root.")
        names = {one["id"]: one["name"] for one in entries(document, "categories", {"id": int, "name": str}, path)}
        sized = {"id": int, "file_name": str, "width": (int, float), "height": (int, float)}
        images = {one["id"]: one for one in entries(document, "images", sized, path)}
        things = {}
        wanted = {"id": int, "image_id": int, "category_id": int, "bbox": list}
        for index, one in enumerate(entries(document, "annotations", wanted, path)):
            image = images.get(one["image_id"])
            if image is None:
                raise UserError(f"{path}: annotations[{index}] is of image {one['image_id']}, which is not listed.")
            size = (image["width"], image["height"])
            box = as_corners(one["bbox"], "xywh", size, f"{path}: annotations[{index}].bbox")
            file = posixpath.join(self.photos, image["file_name"])
            things[one["id"]] = (one["image_id"], file, box, names.get(one["category_id"], ""))
        return things


class _PlainUnpickler(pickle.Unpickler):
    """Numbers, texts, lists and dictionaries; nothing that a pickle would call is there."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}, where only numbers and texts belong")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside of it")


def read_pickle(path: Path, remedy: str) -> Any:
    """Plain data of a pickle, which runs nothing. Raises UserError naming the file."""
    if path.exists() and path.stat().st_size > LARGEST:
        raise UserError(f"{path} has {path.stat().st_size:,} bytes, which no file of references has. {remedy}")
    content = read_bytes(path, remedy)
    if content[:1] in (b"[", b"{"):  # JSON by another name
        return parse_json(content, path)
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise UserError(f"{path} cannot be read as a pickle of plain data: {error}. {remedy}") from None
    except (MemoryError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}). {remedy}") from None
