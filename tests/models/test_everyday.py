"""The model that is taken where none is named says what is on everyday photos, and fits into the wheel."""

from pathlib import Path

import pytest
import torch

import captioning
from captioning.demo.samples import sample_pictures
from captioning.models.bundle import read_shapes
from captioning.models.shipped import default_model, shipped_models
from captioning.text.concepts import concept_namer

THERE = {  # sample -> what its sentence has to name, one of each set
    "coffee": [{"cup"}, {"dining table"}],
    "skateboarder": [{"person"}],
    "table": [{"person"}, {"dining table"}, {"potted plant"}],
    "toilet": [{"toilet"}, {"sink"}],
}
LARGEST = 40e6  # bytes of what it reads, the detector and the encoder that it borrows among them

pytestmark = pytest.mark.skipif("everyday" not in shipped_models(), reason="a checkout without shipped models")


@pytest.fixture(scope="module")
def captioner():
    return captioning.load(device="cpu")


def test_it_names_what_is_on_the_samples_of_the_page(captioner, tmp_path):
    photos = sample_pictures(tmp_path)
    assert {photo.stem for photo in photos} == THERE.keys()
    for photo, caption in zip(photos, captioner.caption(photos), strict=True):
        named = set().union(*(mention.names for mention in concept_namer()([w.lower() for w in caption.words])))
        assert all(named & anyone for anyone in THERE[photo.stem]), caption.text
        assert photo.stem in caption.text, "a sample is called after what its sentence says"
        assert caption.confidence is not None and caption.believed


def test_it_does_not_weigh_more_than_may_be_shipped():
    assert default_model() == "everyday"
    own = sum(file.stat().st_size for file in shipped_models()["everyday"].iterdir())
    lent = read_shapes(Path(shipped_models()["flickr8k"]) / "weights.safetensors")
    numbers = sum(torch.Size(shape).numel() for name, shape in lent.items() if name.startswith("encoder."))
    assert own + 2 * numbers <= LARGEST
