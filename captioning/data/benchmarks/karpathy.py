"""The splits of Karpathy and Li (CVPR 2015): one JSON file with the captions of COCO, Flickr8k or Flickr30k."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from captioning.data.defects import Checks
from captioning.data.download.archives import Archive, coco_photos, karpathy_splits
from captioning.data.file_source import Photos, photo_folder, split_name
from captioning.example import Example
from captioning.files.annotations import entries, read_json
from captioning.metrics.references import number_of

REMEDY = "Unpack caption_datasets.zip of the Karpathy splits there, or set data.file."
# Where the official archives put the photos; those of COCO name their folder in each entry.
FOLDERS = (
    "",
    "Images",
    "images",
    "Flicker8k_Dataset",
    "flickr30k-images",
    "flickr30k_images",
    "Images/Flicker8k_Dataset",
    "Images/flickr30k-images",
)

OFFICIAL = {
    "dataset_coco.json": {"train": 113287, "val": 5000, "test": 5000},
    "dataset_flickr8k.json": {"train": 6000, "val": 1000, "test": 1000},
    "dataset_flickr30k.json": {"train": 29000, "val": 1014, "test": 1000},
}

Entry = dict[str, Any]


def read_splits(path: Path, checks: Checks, keys: Sequence[str] = ("images",)) -> dict[str, list[Entry]]:
    """train, val and test -> entries of a Karpathy JSON file in its order; `restval` is part of train.

    An entry is known by its `cocoid` where it has one, else by its `filename`. `keys` are the names that the list of
    entries may have.
    """
    fields = {"filename": str, "split": str, "sentences": list}
    document = read_json(path, REMEDY)
    key = next((key for key in keys if isinstance(document, dict) and key in document), keys[0])
    listed = entries(document, key, fields, path, {"filepath": str, "cocoid": (int, str)})
    by_id = checks.unique(path, ((photo_id(entry), entry) for entry in listed), "photo ids")
    splits: dict[str, list[Entry]] = {"train": [], "val": [], "test": []}
    unknown = []
    for entry in by_id.values():
        split = "train" if entry["split"] == "restval" else split_name(entry["split"])
        if split is None:
            unknown.append(f"{entry['split']!r} of {photo_id(entry)}")
        else:
            splits[split].append(entry)
    checks.report(path, unknown, len(by_id), "splits", "unknown", "Name them train, restval, val or test")
    return splits


def photo_id(entry: Entry) -> int | str:
    """COCO's number of a photo; its file name in Flickr8k and Flickr30k, whose own numbers both start from 0."""
    number = entry.get("cocoid")
    return entry["filename"] if number is None else number_of(number)


def photo_file(entry: Entry) -> str:
    """Where a photo lies in the folder of its data set."""
    return posixpath.join(entry.get("filepath") or "", entry["filename"])


class Karpathy(Photos):
    """Photos and captions as a Karpathy JSON file lists them (`dataset_coco.json`, `dataset_flickr8k.json`, ...).

    Args:
        file: the JSON file.
        root: folder of the photos, or of the archive's folder of photos; by default the folder of `file`. COCO's
            entries name train2014/ or val2014/ under it.
        on_missing: "error", "skip" or "ignore", see `Photos`.
        name: of the source; by default `karpathy_` and the file's name without `dataset_`.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
        *,
        on_missing: str = "error",
        name: str | None = None,
    ) -> None:
        self.file = Path(file).expanduser()
        super().__init__(self.file.parent if root is None else root, on_missing=on_missing)
        self.name = name or "karpathy_" + self.file.stem.removeprefix("dataset_")

    @property
    def official(self) -> dict[str, int]:
        return OFFICIAL.get(self.file.name, {})

    @property
    def archives(self) -> tuple[Archive, ...]:
        if self.file.name not in OFFICIAL or self.file.parent != self.root:
            return ()
        photos = coco_photos(2014) if self.file.name == "dataset_coco.json" else ()
        return (*karpathy_splits(self.file.name), *photos)

    @property
    def by_hand(self) -> str:
        if self.file.name == "dataset_coco.json":
            return ""
        return f"the photos are given on request by the authors, who have a form for it; they belong under {self.root}."

    def annotations(self, split: str) -> Path:
        return self.file

    def remedy(self) -> str:
        return f"Unpack the photos of {self.name.removeprefix('karpathy_')} under {self.root}"

    def read(self, split: str) -> list[Example]:
        return self._by_split[split]

    @cached_property
    def _by_split(self) -> dict[str, list[Example]]:
        splits = read_splits(self.file, self.checks)
        folder = photo_folder(self.root, FOLDERS, (photo_file(entry) for part in splits.values() for entry in part))
        return {split: [self._example(entry, folder) for entry in part] for split, part in splits.items()}

    def _example(self, entry: Entry, folder: str) -> Example:
        sentences = entries(entry, "sentences", {"raw": str}, self.file)
        file = posixpath.join(folder, photo_file(entry))
        return Example(photo_id(entry), file, tuple(sentence["raw"] for sentence in sentences))
