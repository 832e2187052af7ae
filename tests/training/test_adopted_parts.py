"""A run that starts from a model is of that model's parts and words, unless it is told otherwise."""

from pathlib import Path

import pytest
import torch
import yaml
from test_cli import captioning  # noqa: F401  the command, as a fixture
from tiny_model import ENCODER, saved_model

from captioning.models.bundle import load_bundle, read_config
from captioning.training.initial_weights import Start

RUN = """
    data=scenes data.train=8 data.val=4 data.unseen=0 name=mine batch_size=4 progress=false trainer.max_epochs=1
    trainer.accelerator=cpu optimizer.lr=0.0 vocabulary.min_count=1
""".split()


@pytest.fixture
def start(captioning, tmp_path) -> Path:  # noqa: F811
    return saved_model(tmp_path / "given")


def test_a_run_takes_encoder_decoder_words_and_search_of_its_start(captioning, start, tmp_path, caplog):  # noqa: F811
    status, _, errors = captioning("train", *RUN, "start=given")
    assert status == 0, errors
    assert "encoder, decoder, generation and words are those of" in caplog.text
    before, after = (load_bundle(folder) for folder in (start, tmp_path / "runs/mine/model"))
    assert before.task.config() == after.task.config() and before.encoder_config == after.encoder_config
    assert before.task.vocabulary == after.task.vocabulary
    own = after.task.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in before.task.state_dict().items())


def test_what_is_said_on_the_command_line_is_done(captioning, start, tmp_path):  # noqa: F811
    said = ["generation=greedy", "decoder.dropout=0.25", "encoder.finetune=true"]
    status, _, errors = captioning("train", *RUN, "start=given", *said)
    assert status == 0, errors
    after = read_config(tmp_path / "runs/mine/model/config.yaml")
    assert after["task"]["decoder"]["dropout"] == 0.25
    assert after["task"]["generation"]["_target_"].endswith("greedy")
    assert after["encoder"]["backbone"] == ENCODER["backbone"]


def test_a_start_that_names_what_is_not_this_packages_builds_nothing(captioning, start):  # noqa: F811
    config = yaml.safe_load((start / "config.yaml").read_text())
    config["encoder"]["_target_"] = "os.system"
    (start / "config.yaml").write_text(yaml.dump(config))
    status, _, errors = captioning("train", *RUN, "start=given")
    assert status == 2 and any("os.system" in line for line in errors)


@pytest.mark.parametrize("more", [[], ["experiment=finetune", "grow=true"]], ids=["plain", "finetune"])
@pytest.mark.parametrize(("name", "decoder"), [("flickr8k", "Transformer"), ("everyday", "ConceptReader")])
def test_a_shipped_model_is_a_start_by_its_name_without_its_memory(captioning, tmp_path, caplog, name, decoder, more):  # noqa: F811
    few = ["data.train=2", "data.val=2", "data.size=64", "store=null"]
    status, _, errors = captioning("train", *more, *RUN, *few, f"start={name}")
    assert status == 0, errors
    assert "remembers is dropped" in caplog.text and "generation=beam" in caplog.text
    parts = read_config(tmp_path / "runs/mine/model/config.yaml")
    assert parts["task"]["decoder"]["_target_"].endswith(decoder)
    assert parts["task"]["generation"]["forbidden_endings"]


def test_words_of_new_captions_are_added_and_old_ones_stay(captioning, start, tmp_path):  # noqa: F811
    status, _, errors = captioning("train", *RUN, "start=given", "grow=true")
    assert status == 0, errors
    old, new = load_bundle(start).task, load_bundle(tmp_path / "runs/mine/model").task
    known = len(old.vocabulary)
    assert new.vocabulary.words[:known] == old.vocabulary.words and "square" in new.vocabulary.words[known:]
    rows = {name: (tensor, new.state_dict()[name]) for name, tensor in old.state_dict().items()}
    grown = [name for name, (a, b) in rows.items() if a.shape != b.shape]
    assert grown and all(torch.equal(a, b[: len(a)]) for a, b in rows.values())


def test_a_new_word_is_at_first_as_likely_as_words_are_in_the_mean():
    torch.manual_seed(0)
    layer = torch.nn.Linear(16, 40)
    start = Start(Path("x"), {}, {"task.weight": torch.randn(30, 16), "task.bias": torch.randn(30)})
    start.with_words(30, layer).fill("task", layer)
    logits = layer(torch.randn(2000, 16)).mean(0)
    assert torch.equal(layer.bias[:30], start.weights["task.bias"])
    assert abs(float(logits[30:].mean() - logits[4:30].mean())) < 0.2
    assert len({tuple(row.tolist()) for row in layer.weight[30:].detach()}) == 10
