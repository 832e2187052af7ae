"""Every experiment composes, and every recipe trains on a miniature of its data set, in the same files."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf, open_dict
from PIL import Image

from captioning.commands.hydra import conf_folder
from captioning.training.train import train

EXPERIMENTS = sorted(path.stem for path in (conf_folder() / "experiment").glob("*.yaml"))
RECIPES = [name for name in EXPERIMENTS if name.startswith("coco_") and not name.endswith("_self_critical")]
SMALL = {
    "show_and_tell": "embedding=8 width=8",
    "show_attend_tell": "visual=8 embedding=8 width=8 attention=8",
    "up_down": "visual=8 embedding=8 width=8 attention=8",
    "transformer": "width=8 layers=1 heads=2 feed_forward=8 encoder_layers=1",
    "meshed_memory": "width=8 layers=1 heads=2 feed_forward=8 encoder_layers=2 slots=2",
}
TINY = """
    encoder=grid encoder.size=32 encoder.backbone=test_resnet.r160_in1k encoder.weights=none encoder.grid=2
    vocabulary.min_count=1 progress=false trainer.max_epochs=1 trainer.accelerator=cpu store=auto batch_size=2
""".split()


def composed(name: str, *overrides: str):
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", [f"experiment={name}", *overrides])
    with open_dict(config):
        del config["output"]
    return config


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    """coco/ with four photos and dataset_coco.json, as the Karpathy splits have them."""
    root = tmp_path_factory.mktemp("data") / "coco"
    images = []
    for number, split in enumerate(["train", "restval", "val", "test"]):
        folder = "train2014" if split == "train" else "val2014"
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (60 * number, 90, 120)).save(root / folder / f"{number}.jpg")
        said = [f"a {word} dog on the grass" for word in ("small", "big", "red", "wet", "happy")]
        sentences = [{"raw": text, "tokens": text.split()} for text in said]
        entry = {"filename": f"{number}.jpg", "filepath": folder, "cocoid": number, "split": split}
        images.append({**entry, "sentences": sentences})
    (root / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    return root.parent


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_composes_and_its_parts_can_be_built(name):
    config = composed(name)
    OmegaConf.resolve(config)
    assert config.name == name
    decoder = instantiate(config.decoder, visual_width=8, vocabulary_size=20)
    assert any(weight.requires_grad for weight in decoder.parameters())
    for part in ("objective", "optimizer", "schedule", "generation"):
        instantiate(config[part])
    if name.endswith("_self_critical"):
        before = composed(name.removesuffix("_self_critical"))
        OmegaConf.resolve(before)
        assert config.start == f"runs/{before.name}/model"
        for part in ("data", "encoder", "decoder", "vocabulary", "store"):
            assert config[part] == before[part], part


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains_on_words_and_then_on_the_metric(name, miniature, tmp_path, monkeypatch):
    monkeypatch.setenv("CAPTIONING_DATA", str(miniature))
    monkeypatch.chdir(tmp_path)
    decoder = [f"decoder.{option}" for option in SMALL[name.removeprefix("coco_")].split()]
    model = train(composed(name, *TINY, *decoder), Path("runs") / name)
    assert (model / "weights.safetensors").exists()
    then = f"{name}_self_critical"
    assert (train(composed(then, *TINY, *decoder), Path("runs") / then) / "weights.safetensors").exists()
