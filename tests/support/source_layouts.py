"""Five captioned photos in each official layout, written so that a test can damage them, and how a defect is told."""

import csv
import json
import logging
from pathlib import Path

import pytest
from PIL import Image

from captioning.data.benchmarks.coco import Coco
from captioning.data.benchmarks.flickr8k import Flickr8k, Flickr30k
from captioning.data.benchmarks.karpathy import Karpathy
from captioning.data.table import Table
from captioning.errors import UserError

SPLIT_OF = {"a.jpg": "train", "b.jpg": "train", "c.jpg": "train", "d.jpg": "val", "e.jpg": "test"}
CAPTIONS = {name: [f"A dog near {name[0]} .", f"Two dogs, {name[0]}"] for name in SPLIT_OF}


class Layout:
    """The five photos above, written in one of the official layouts; a test may damage `captions` or `splits` first."""

    folder = "Images"

    def __init__(self, root):
        self.root = root
        self.captions = {name: list(captions) for name, captions in CAPTIONS.items()}
        self.split_of = dict(SPLIT_OF)

    def photo(self, name):
        return self.root / self.folder / name

    def write(self, **options):
        for name in SPLIT_OF:
            self.photo(name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 4), "red").save(self.photo(name))
        self.write_text()
        return self.source(**options)


class Flickr8kLayout(Layout):
    def write_text(self):
        lines = [f"{name}#{i}\t{c}" for name, captions in self.captions.items() for i, c in enumerate(captions)]
        self.file.write_text("\n".join(lines) + "\n")
        for split, listed in (("train", "train"), ("val", "dev"), ("test", "test")):
            names = [name for name, of in self.split_of.items() if of == split]
            (self.root / f"Flickr_8k.{listed}Images.txt").write_text("".join(f"{name}\n" for name in names))

    @property
    def file(self):
        return self.root / "Flickr8k.token.txt"

    def source(self, **options):
        return Flickr8k(self.root, **options)


class KarpathyLayout(Layout):
    def document(self):
        return [
            {
                "filename": name,
                "imgid": i,
                "split": "restval" if name == "c.jpg" and of == "train" else of,
                "sentences": [{"raw": caption, "tokens": caption.split()} for caption in self.captions[name]],
            }
            for i, (name, of) in enumerate(self.split_of.items())
        ]

    def write_text(self):
        self.file.write_text(json.dumps({"dataset": "flickr8k", "images": self.document()}))

    @property
    def file(self):
        return self.root / "dataset_flickr8k.json"

    def source(self, **options):
        return Karpathy(self.file, self.root, **options)


class Flickr30kLayout(KarpathyLayout):
    folder = "flickr30k-images"

    def write_text(self):
        lines = [f"{name}#{i}\t{c}" for name, captions in self.captions.items() for i, c in enumerate(captions)]
        (self.root / "results_20130124.token").write_text("\n".join(lines) + "\n")
        (self.root / "dataset_flickr30k.json").write_text(json.dumps({"images": self.document()}))

    @property
    def file(self):
        return self.root / "results_20130124.token"

    def source(self, **options):
        return Flickr30k(self.root, **options)


class CsvLayout(Layout):
    def write_text(self):
        with open(self.file, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["file", "split", "caption"])
            for name, captions in self.captions.items():
                rows.writerows([f"Images/{name}", self.split_of[name], caption] for caption in captions)

    @property
    def file(self):
        return self.root / "table.csv"

    def source(self, **options):
        return Table(self.file, **options)


class JsonLinesLayout(CsvLayout):
    def write_text(self):
        lines = [
            {"file": f"Images/{name}", "captions": captions, "split": self.split_of[name]}
            for name, captions in self.captions.items()
        ]
        self.file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    @property
    def file(self):
        return self.root / "table.jsonl"


class CocoLayout(Layout):
    """Of COCO only the training photos: the layout has one file a split, and no test captions."""

    folder = "train2017"

    def write_text(self):
        train = [name for name in self.split_of if self.split_of[name] == "train"]
        images = [{"id": i, "file_name": name, "width": 8, "height": 4} for i, name in enumerate(train)]
        pairs = [(i, caption) for i, name in enumerate(train) for caption in self.captions[name]]
        annotations = [{"id": 9 + n, "image_id": i, "caption": c} for n, (i, c) in enumerate(pairs)]
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(json.dumps({"images": images, "annotations": annotations}))

    @property
    def file(self):
        return self.root / "annotations/captions_train2017.json"

    def source(self, **options):
        return Coco(self.root, **options)


LAYOUTS = [Flickr8kLayout, KarpathyLayout, Flickr30kLayout, CsvLayout, JsonLinesLayout, CocoLayout]


def refusal(call, *words) -> str:
    with pytest.raises(UserError) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)
    return str(caught.value)


def refused_or_skipped(layout, caplog, *words, left) -> None:
    """By default the defect is an error with these words; told to skip, the same is one warning and `left` remains."""
    refusal(lambda: layout.source().examples("train"), *words, "data.on_missing=skip")
    with caplog.at_level(logging.WARNING, "captioning"):
        examples = layout.source(on_missing="skip").examples("train")
    assert [Path(example.file).name for example in examples] == left
    (record,) = caplog.records
    for word in words:
        assert word in record.getMessage()
    assert "\n" not in record.getMessage()
