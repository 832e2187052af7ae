"""What the owners of benchmarks publish at fixed addresses, and what each archive holds once it is unpacked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Archive:
    """A .zip or .tar at a fixed address.

    `holds` counts the files that it leaves under the root of a source: of a folder how many, of a file 1. `digest` is
    "sha256:..." or "md5:...", where its owners or many independent readers agree on it. With `flat` only the files of
    `holds` are taken, from wherever they lie in the archive.
    """

    url: str
    holds: Mapping[str, int] = field(hash=False)
    size: int | None = None  # bytes
    digest: str | None = None
    flat: bool = False

    @property
    def name(self) -> str:
        """train2017.zip"""
        return self.url.rpartition("/")[2]

    def absent(self, root: Path) -> list[str]:
        """Those of `holds` that are not all there, in words."""
        found = {name: _count(root / name) for name in self.holds}
        return [
            name if number == 1 else f"{name}/ ({found[name]:,} of {number:,} files)"
            for name, number in self.holds.items()
            if found[name] < number
        ]


def _count(path: Path) -> int:
    if path.is_file():
        return 1
    try:
        return sum(entry.is_file() for entry in os.scandir(path))
    except OSError:
        return 0


COCO_SITE = "http://images.cocodataset.org"
COCO_PHOTOS = {  # year and split -> photos, bytes, digest
    (2014, "train"): (82783, 13510573713, "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775"),
    (2014, "val"): (40504, 6645013297, "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0"),
    (2017, "train"): (118287, 19336861798, "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"),
    (2017, "val"): (5000, 815585330, "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"),
}
COCO_TEXT = {
    2014: (252872794, "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009"),
    2017: (252907541, "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"),
}
KARPATHY_SPLITS = "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"
MSVD_CLIPS = Archive(
    "https://www.cs.utexas.edu/users/ml/clamp/videoDescription/YouTubeClips.tar",
    {"YouTubeClips": 1970},
    digest="md5:9bdb20fcf14d59524a6febca9f6a8d89",
)


def coco_photos(year: int) -> tuple[Archive, ...]:
    """The photos of COCO's train and val, of 2014 or 2017; of another year none."""
    return tuple(
        Archive(f"{COCO_SITE}/zips/{split}{year}.zip", {f"{split}{year}": photos}, size, f"sha256:{digest}")
        for (of, split), (photos, size, digest) in COCO_PHOTOS.items()
        if of == year
    )


def coco_text(year: int) -> tuple[Archive, ...]:
    """COCO's captions and boxes of train and val, of 2014 or 2017; of another year none."""
    if year not in COCO_TEXT:
        return ()
    size, digest = COCO_TEXT[year]
    kinds = ("captions", "instances")
    names = [f"annotations/{kind}_{split}{year}.json" for kind in kinds for split in ("train", "val")]
    url = f"{COCO_SITE}/annotations/annotations_trainval{year}.zip"
    return (Archive(url, dict.fromkeys(names, 1), size, f"sha256:{digest}"),)


def karpathy_splits(file: str) -> tuple[Archive, ...]:
    """The archive with dataset_coco.json, dataset_flickr8k.json and dataset_flickr30k.json, for one of them."""
    return (Archive(KARPATHY_SPLITS, {file: 1}, flat=True),)
