"""What was written by an earlier version loads for ever, and says the same."""

import json
from pathlib import Path

import make_golden
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_model import pictures

import captioning
from captioning.data.synthetic.scenes import Scenes
from captioning.features.store import FeatureStore

GOLDEN = Path(__file__).parent / "golden"


def read(name: str):
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def test_a_bundle_of_format_1_loads_and_says_what_it_said():
    captions = captioning.load(GOLDEN / "bundle_1").caption(pictures(6))
    assert [one.text for one in captions] == [one["caption"] for one in read("bundle_1.json")]
    assert [one.score for one in captions] == pytest.approx([one["score"] for one in read("bundle_1.json")], abs=1e-3)


def test_a_bundle_that_borrows_its_encoder_loads_and_finds_what_it_found():
    embedder, golden = captioning.load(GOLDEN / "bundle_2_lent"), read("bundle_2_lent.json")
    assert not [name for name in load_file(GOLDEN / "bundle_2_lent/weights.safetensors") if name.startswith("encoder.")]
    np.testing.assert_allclose(embedder.embed(pictures(3)), golden["images"], atol=1e-3)
    np.testing.assert_allclose(embedder.embed_text(make_golden.TEXTS), golden["texts"], atol=1e-3)


def test_a_store_of_format_1_is_read_and_fits_the_encoder_that_filled_it():
    golden, model = read("store_1.json"), captioning.load(GOLDEN / "bundle_1")
    config = model.bundle.encoder_config
    store = FeatureStore(GOLDEN / "store_1").made_by(config, model.encoder.digest(config))
    memory = store.read(golden["ids"])
    assert list(memory.tokens.shape) == golden["shape"]
    assert torch.allclose(memory.pooled.float()[:, :4], torch.tensor(golden["pooled"]), atol=1e-3)


def test_the_shipped_model_says_the_same_of_twenty_scenes():
    world = Scenes(train=1, val=1, test=20, unseen=1, size=224)
    images = [world.image(example) for example in world.examples("test")]
    assert [one.text for one in captioning.load("flickr8k").caption(images)] == read("shipped.json")


@pytest.mark.parametrize("name", make_golden.RUNS)
def test_a_run_learns_what_it_learned(name, monkeypatch):
    golden, again = read("training.json")[name], make_golden.trained(name)
    for figure in ("train/loss", "val/loss", "val/CIDEr"):  # another processor rounds otherwise
        assert again[figure] == pytest.approx(golden[figure], rel=1e-3, abs=1e-4)
