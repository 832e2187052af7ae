"""The sources on the real data sets, and the configurations that name them."""

import inspect
import json
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from captioning.data.benchmarks.coco import Coco
from captioning.data.benchmarks.flickr8k import Flickr8k
from captioning.data.source import Source

CONFIGS = sorted((Path(__file__).parents[2] / "conf/data").glob("*.yaml"))
NAMES = {"flickr8k", "flickr30k", "coco", "karpathy_coco", "karpathy_flickr8k", "karpathy_flickr30k", "table"}
NAMES |= {"msrvtt", "msvd"}
SUBSET = {
    "captions": "annotations/captions_{split}2017_subset.json",
    "instances": "annotations/instances_{split}2017_subset.json",
}


@pytest.mark.parametrize("path", [path for path in CONFIGS if path.stem in NAMES], ids=lambda path: path.stem)
def test_every_configuration_makes_its_source_and_names_every_option(path):
    config = OmegaConf.load(path)
    if OmegaConf.is_missing(config, "file"):
        config.file = "photos.csv"
    source = instantiate(config)
    assert isinstance(source, Source)
    unnamed = set(inspect.signature(type(source).__init__).parameters) - {"self", "name"} - set(config)
    assert not unnamed, "an option that the file does not name cannot be overridden on the command line"


def test_a_configuration_reads_under_the_folder_in_the_environment(monkeypatch):
    config = OmegaConf.load(next(path for path in CONFIGS if path.stem == "karpathy_coco"))
    monkeypatch.setenv("CAPTIONING_DATA", "/data/sets")
    assert config.file == "/data/sets/coco/dataset_coco.json"
    monkeypatch.delenv("CAPTIONING_DATA")
    assert config.root == "data/coco"


def test_flickr8k_has_its_official_splits(real_data):
    source = Flickr8k(real_data / "flickr8k")
    train, dev = source.examples("train"), source.examples("dev")
    assert len(train) == 6000 and len(dev) == 1000
    assert all(len(example.captions) == 5 for example in train + dev)
    assert not {example.id for example in train} & {example.id for example in dev}
    assert train[0].id == (real_data / "flickr8k/Flickr_8k.trainImages.txt").read_text().split()[0]
    assert source.readable(dev[:200], decode=True) == dev[:200]
    assert source.image(train[0]).size == (224, 224)


def test_coco_captions_are_those_of_the_file(real_data):
    examples = Coco(real_data / "coco", on_missing="ignore").examples("val")
    assert len(examples) == 5000
    document = json.loads((real_data / "coco/annotations/captions_val2017.json").read_text())
    official = sorted((one["image_id"], one["caption"]) for one in document["annotations"])
    assert sorted((example.id, caption) for example in examples for caption in example.captions) == official
    assert len(official) == 25_014


def test_coco_boxes_are_boxes_within_the_image(real_data):
    source = Coco(real_data / "coco", **SUBSET, boxes=True)
    examples = source.examples("train")
    assert len(examples) == 130
    document = json.loads((real_data / "coco" / SUBSET["instances"].format(split="train")).read_text())
    single = [one for one in document["annotations"] if not one["iscrowd"]]
    assert sum(len(example.boxes) for example in examples) == len(single)
    names = {category["name"] for category in document["categories"]}
    for example in examples:
        assert len(example.boxes) == len(example.labels) and set(example.labels) <= names
        assert all(0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1 for x1, y1, x2, y2 in example.boxes)
    assert source.readable(examples, decode=True) == examples
