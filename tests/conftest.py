"""What several tests need: real data where it is at hand, and a small model that takes no time to build."""

import gzip
import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(tmp_path, monkeypatch):
    """Feature stores of the tests stay out of the user's cache."""
    monkeypatch.setenv("CAPTIONING_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with flickr8k/, coco/, msvd/ and msrvtt/."""
    folder = os.environ.get("CAPTIONING_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set CAPTIONING_DATA to the folder that holds flickr8k/ and coco/ to run the tests on real data")
    return Path(folder)


@pytest.fixture(scope="session")
def corpora(real_data):
    """Name -> captions, in the order of the file."""
    coco = json.loads((real_data / "coco/annotations/captions_val2017.json").read_text())["annotations"]
    msrvtt = json.loads(gzip.decompress((real_data / "msrvtt/videodatainfo_2017_italian.json.gz").read_bytes()))
    msvd = [real_data / f"msvd/sents_{split}_lc_nopunc.txt" for split in ("train", "val", "test")]
    return {
        "COCO val2017": [annotation["caption"] for annotation in coco],
        "MSVD": [line.split("\t", 1)[1] for path in msvd for line in _lines(path)],
        "Flickr8k": [line.split("\t", 1)[1] for line in _lines(real_data / "flickr8k/Flickr8k.token.txt")],
        "MSR-VTT, Italian": [sentence["caption"] for sentence in msrvtt["sentences"]],
    }


def _lines(path):
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")


@pytest.fixture(scope="session")
def coco_last_against_others(real_data):
    """COCO val2017 in the order of its images: (references, hypotheses) by id; the last caption is the hypothesis."""
    document = json.loads((real_data / "coco/annotations/captions_val2017.json").read_text())
    captions = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        captions[annotation["image_id"]].append(annotation["caption"])
    return {image: those[:-1] for image, those in captions.items()}, {i: those[-1] for i, those in captions.items()}
