"""Published models are trained further, all of their weights or small matrices beside them."""

import csv
import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import open_dict
from safetensors.torch import save_file
from tiny_model import pictures, saved_model
from tiny_runs import same, weights

import captioning
from captioning.commands.hydra import conf_folder
from captioning.commands.import_model import import_model
from captioning.errors import UserError
from captioning.models.bundle import load_bundle
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


@pytest.fixture(scope="module")
def small(start, photos, tmp_path_factory) -> Path:
    """The bundle of a run that learned low-rank matrices."""
    options = ["lora.rank=2", "batch_size=30", "trainer.max_epochs=2", "optimizer.lr=2e-2"]
    return train(configuration(start, photos, *options), tmp_path_factory.mktemp("small") / "run")


def test_a_bundle_of_low_rank_changes_is_small_and_loads_without_peft(small, start, photos, tmp_path, monkeypatch):
    assert not (small / "weights.safetensors").exists()
    assert (small / "low_rank.safetensors").stat().st_size < 0.25 * (start / "model.safetensors").stat().st_size
    monkeypatch.setitem(sys.modules, "peft", None)
    found, whole = captioning.load(small), tmp_path / "whole"
    assert import_model(str(small), whole) == 0
    options = ["lora.rank=2", "lora.merge=true", "batch_size=30", "trainer.max_epochs=2", "optimizer.lr=2e-2"]
    monkeypatch.undo()
    merged = captioning.load(train(configuration(start, photos, *options), tmp_path / "run"))
    assert (tmp_path / "run/model/weights.safetensors").is_file()
    for other in (captioning.load(whole), merged):
        for name, part in found.decoder.state_dict().items():
            torch.testing.assert_close(part, other.decoder.state_dict()[name], atol=1e-5, rtol=1e-5)
    assert [one.text for one in found.caption(pictures(3, 32))] == [one.text for one in merged.caption(pictures(3, 32))]


def test_training_goes_on_from_low_rank_changes_and_writes_a_whole_model(small, photos, tmp_path):
    model = train(configuration(small, photos, "lora.rank=2", "batch_size=30", "trainer.max_epochs=1"), tmp_path)
    assert (model / "weights.safetensors").is_file() and not (model / "low_rank.json").exists()


def test_changes_of_another_model_damaged_or_alone_are_refused_in_a_sentence(small, start, tmp_path):
    copied = Path(shutil.copytree(small, tmp_path / "run/model"))
    about = json.loads((copied / "low_rank.json").read_text())

    def refusal(**changed) -> str:
        (copied / "low_rank.json").write_text(json.dumps({**about, "base": str(start), **changed}))
        with pytest.raises(UserError) as error:
            captioning.load(copied)
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "other weights than" in refusal(digest="0" * 64)
    assert "there is no model" in refusal(base="nowhere")
    assert "is damaged" in refusal(scale="much")
    assert "changes another itself" in refusal(base=str(small))
    save_file({"down.layers.9.weight": torch.ones(2, 2)}, copied / "low_rank.safetensors")
    assert "has no counterpart" in refusal()
    (copied / "low_rank.safetensors").unlink()
    assert "low_rank.safetensors is missing" in refusal()
    with pytest.raises(UserError, match="captioning import"):
        load_bundle(copied)


def test_a_model_of_ones_own_is_trained_further_as_it_is(photos, tmp_path):
    start = saved_model(tmp_path / "mine")
    options = ["trainer.max_epochs=1", "batch_size=30", "store=null"]
    model = captioning.load(train(configuration(start, photos, *options), tmp_path / "run"))
    assert model.task.parts["decoder"] == captioning.load(start).task.parts["decoder"]


def test_without_a_start_there_is_nothing_to_adopt(photos, tmp_path):
    config = configuration(tmp_path / "nowhere", photos)
    with pytest.raises(UserError, match="nowhere"):
        train(config, tmp_path / "run")
