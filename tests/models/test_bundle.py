"""A bundle is the whole model, is data and not code, and is there whole or not at all."""

import json
import os
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from spoiled_bundles import refusal
from tiny_model import DECODERS, pictures, saved_model, tiny_bundle

from captioning.errors import UserError
from captioning.models.bundle import load_bundle, replaced_folder, save_bundle
from captioning.models.shipped import MODEL_FILES
from captioning.tasks.captioning.captioner import Captioner
from captioning.text.vocabulary import Vocabulary


def logits(bundle) -> torch.Tensor:
    encoder, words = bundle.encoder, torch.arange(1, 7).expand(4, 2, -1)
    with torch.inference_mode():
        memory = encoder(torch.stack([encoder.read(image) for image in pictures(4)]))
        return bundle.task.decoder(bundle.task.decoder.prepare(memory), words)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_saved_model_is_the_same_model(decoder, tmp_path):
    bundle = tiny_bundle(decoder)
    loaded = load_bundle(save_bundle(tmp_path / "model", bundle, card="# card"))
    assert torch.equal(logits(loaded), logits(bundle))
    assert loaded.task.vocabulary == bundle.task.vocabulary
    captions = [Captioner(each, device="cpu").caption(pictures(4)) for each in (bundle, loaded)]
    assert captions[0] == captions[1]
    assert (tmp_path / "model/README.md").read_text() == "# card"


def test_half_precision_halves_the_file_and_hardly_moves_the_logits(tmp_path, whole):
    tame = tiny_bundle()
    for parameter in tame.task.decoder.parameters():  # as trained weights are: no cell saturated, nothing on an edge
        parameter.data /= 10
    half = save_bundle(tmp_path / "half", tame, card="", half=True)
    assert (half / "weights.safetensors").stat().st_size < 0.6 * (whole / "weights.safetensors").stat().st_size
    bundle = load_bundle(half)
    assert all(tensor.dtype != torch.float16 for tensor in bundle.task.decoder.state_dict().values())
    exact = logits(tame)
    assert (logits(bundle) - exact).abs().max() < 0.01 * exact.abs().max()


def test_a_weight_too_large_for_half_precision_keeps_its_own(tmp_path):
    bundle = tiny_bundle()
    bundle.task.decoder.predict.bias.data[5] = 1e6
    loaded = load_bundle(save_bundle(tmp_path / "model", bundle, card="", half=True))
    assert loaded.task.decoder.predict.bias[5] == 1e6


def test_a_bundle_has_no_pickle_and_no_road_to_the_weights_it_was_trained_from(whole):
    assert sorted(path.name for path in whole.iterdir()) == sorted([*MODEL_FILES, "README.md"])
    config = yaml.safe_load((whole / "config.yaml").read_text())
    assert config["format"] == 2 and not {"weights", "finetune"} & set(config["encoder"])


def test_saving_again_replaces_all_of_it(model):
    (model / "config.yaml").write_text("format: 2")
    save_bundle(model, tiny_bundle("show_and_tell"), card="second")
    assert type(load_bundle(model).task.decoder).__name__ == "ShowAndTell"
    assert [path.name for path in model.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "failing", ["captioning.models.bundle.save_file", "captioning.text.vocabulary.Vocabulary.to_json", "os.replace"]
)
@pytest.mark.parametrize("reason", [KeyboardInterrupt, OSError])
def test_a_failure_while_saving_leaves_the_former_model(model, monkeypatch, failing, reason):
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    real, calls = os.replace, []

    def fail(*arguments, **_):
        calls.append(arguments)
        if failing == "os.replace" and len(calls) != 2:  # the new folder is the second to be moved
            return real(*arguments)
        raise reason("stop")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(reason):
        save_bundle(model, tiny_bundle("show_and_tell"), card="second")
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_a_folder_that_is_no_model_is_not_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/dear.jpg").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for name in ("photos", "file", "file/within"):
        with pytest.raises(UserError, match=name):
            saved_model(tmp_path / name)
    assert (tmp_path / "photos/dear.jpg").read_text() == (tmp_path / "file").read_text() == "dear"


def test_a_link_to_a_model_stays_a_link(model, tmp_path):
    (tmp_path / "best").symlink_to(model)
    save_bundle(tmp_path / "best", tiny_bundle("show_and_tell"), card="")
    assert (tmp_path / "best").is_symlink() and type(load_bundle(model).task.decoder).__name__ == "ShowAndTell"


def test_a_relative_folder_is_found_after_the_program_has_moved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with replaced_folder(Path("here")) as temporary:
        (temporary / "file").write_text("")
        monkeypatch.chdir("/")
    assert (tmp_path / "here/file").exists()


@pytest.mark.parametrize("name", MODEL_FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "garbage", "folder"])
def test_a_half_there_model_names_the_file(model, name, damage):
    file, content = model / name, (model / name).read_bytes()
    file.unlink()
    if damage == "folder":
        file.mkdir()
    elif damage != "missing":
        shorter = content[: len(content) * 2 // 3]
        file.write_bytes({"empty": b"", "truncated": shorter, "garbage": b"\xff\xfe{[*&\0" * 40}[damage])
    assert name in refusal(model)


def test_a_model_from_a_newer_version_says_so(model):
    config = yaml.safe_load((model / "config.yaml").read_text())
    (model / "config.yaml").write_text(yaml.safe_dump(config | {"format": 3}))
    assert "format 3" in refusal(model) and "pip install" in refusal(model)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "format: 1",
        "format: 2",
        "format: 2\nencoder: {}\ntask: []",
        "format: one",
        "format: true",
        "format: 1\nencoder: []\ndecoder: {}\ngeneration: {}",
        "a: &a [*a]",
        "a: &a {b: 1}\nc: *a",
        "format: !!python/object/apply:os.system ['touch /tmp/never']",
        "[" * 600,
    ],
    ids=range(12),
)
def test_a_file_that_is_no_configuration_is_named(model, text):
    (model / "config.yaml").write_text(text)
    assert "config.yaml" in refusal(model)


@pytest.mark.parametrize("values", [{"words": ["a", "dog"]}, {"max_words": 0}, {"max_words": 10**9}])
def test_a_vocabulary_of_another_model_is_refused(model, values):
    path = model / "vocabulary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    refusal(model)


@pytest.mark.parametrize("change", ["left out", "added", "other shape"])
def test_weights_of_another_model_are_named(model, change):
    path = model / "weights.safetensors"
    weights = load_file(path)
    name = "task.decoder.predict.bias"
    if change == "left out":
        del weights[name]
    elif change == "added":
        name = "task.decoder.more"
    if change != "left out":
        weights[name] = torch.zeros(3)
    save_file(weights, path)
    assert name in refusal(model) and "weights.safetensors" in refusal(model)


def test_an_ensemble_of_parts_is_built_from_data(tmp_path):
    from captioning.decoders.ensemble import Ensemble

    bundle = tiny_bundle()
    single = bundle.task.parts["decoder"]
    bundle.task.parts["decoder"] = {"_target_": "captioning.decoders.ensemble.Ensemble", "decoders": [single, single]}
    bundle.task.decoder = Ensemble([bundle.task.decoder, tiny_bundle().task.decoder]).eval()
    loaded = load_bundle(save_bundle(tmp_path / "model", bundle, card=""))
    assert torch.equal(logits(loaded), logits(bundle))


def test_the_words_of_a_bundle_are_those_of_its_file(whole):
    assert Vocabulary.load(whole / "vocabulary.json") == load_bundle(whole).task.vocabulary
