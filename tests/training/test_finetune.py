"""Published models are trained further, all of their weights or small matrices beside them."""

import csv
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from tiny_model import pictures, saved_model
from tiny_runs import same, weights

import captioning
from captioning.commands.hydra import conf_folder
from captioning.errors import UserError
from captioning.training.train import train

pytest.importorskip("transformers")
import hub_models  # noqa: E402

PLACES = "on under of".split()


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "blip"
    hub_models.blip(folder)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """60 pictures, and a caption of its own for each."""
    folder = tmp_path_factory.mktemp("photos")
    said = [f"{a} {c} {w} {p} the {t}" for a in ("a", "the") for c in ("red", "blue") for w in ("dog", "cat", "ball")
            for p in PLACES for t in ("grass", "water")][:60]  # fmt: skip
    said += [f"two small {text}" for text in said[: 60 - len(said)]]
    with (folder / "photos.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "caption", "split"])
        for i, (picture, text) in enumerate(zip(pictures(60, 32), said, strict=True)):
            picture.save(folder / f"{i}.png")
            rows.writerow([f"{i}.png", text, "train"])
        for i, picture in enumerate(pictures(66, 32)[60:]):
            picture.save(folder / f"val{i}.png")
            rows.writerow([f"val{i}.png", said[i], "val"])
    return folder / "photos.csv"


def configuration(start: Path, photos: Path, *overrides: str):
    usual = [
        "experiment=finetune", f"start={start}", "data=table", f"data.file={photos}", "progress=false",
        "trainer.accelerator=cpu", "patience=null", "optimizer.lr=2e-3",
    ]  # fmt: skip
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", [*usual, *overrides])
    with open_dict(config):
        del config["output"]
    return config


def test_sixty_photos_are_learned_by_heart(start, photos, tmp_path):
    options = [
        "batch_size=30",
        "objective.label_smoothing=0",
        "trainer.max_epochs=150",
        "+trainer.check_val_every_n_epoch=150",
        "schedule=constant",
    ]
    model = captioning.load(train(configuration(start, photos, *options), tmp_path))
    with photos.open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "train"]
    found = model.caption([photos.parent / row["file"] for row in rows], beam_size=1)
    right = sum(one.text == row["caption"] for one, row in zip(found, rows, strict=True))
    assert right >= 57, f"{right} of 60"


@pytest.mark.parametrize("more", [[], ["lora.rank=4"], ["objective=self_critical", "objective.num_samples=2"]])
def test_a_resumed_run_ends_where_one_ends_that_was_never_interrupted(start, photos, tmp_path, more):
    options = ["batch_size=30", "schedule=constant", *more]
    for name, *further in (("steady", 2), ("broken", 1), ("broken", 2, "resume=auto")):
        epochs, *rest = further
        train(configuration(start, photos, *options, f"trainer.max_epochs={epochs}", *rest), tmp_path / name)
    assert same(weights(tmp_path / "steady"), weights(tmp_path / "broken"))


def test_low_rank_matrices_end_in_the_weights_and_leave_the_rest_alone(start, photos, tmp_path):
    options = ["lora.rank=2", "batch_size=30", "trainer.max_epochs=2"]
    model = captioning.load(train(configuration(start, photos, *options), tmp_path))
    before, after = captioning.load(start).decoder.state_dict(), model.decoder.state_dict()
    assert before.keys() == after.keys()
    changed = {name: (after[name] - before[name]) for name in after if not torch.equal(after[name], before[name])}
    assert "layers.0.self_attention.inputs.weight" in changed and "embed.weight" not in changed
    assert all(torch.linalg.matrix_rank(change, atol=1e-5) <= 2 for change in changed.values())


def test_a_model_of_ones_own_is_trained_further_as_it_is(photos, tmp_path):
    start = saved_model(tmp_path / "mine")
    options = ["trainer.max_epochs=1", "batch_size=30", "store=null"]
    model = captioning.load(train(configuration(start, photos, *options), tmp_path / "run"))
    assert model.task.parts["decoder"] == captioning.load(start).task.parts["decoder"]


def test_without_a_start_there_is_nothing_to_adopt(photos, tmp_path):
    config = configuration(tmp_path / "nowhere", photos)
    with pytest.raises(UserError, match="nowhere"):
        train(config, tmp_path / "run")
