"""Every option of Lightning's trainer works in a run, or is refused by its name before the first step."""

import json
import logging

import pytest
import pytorch_lightning as pl
import torch
from tiny_runs import configuration

from captioning.errors import UserError
from captioning.tasks.load import load
from captioning.training.callbacks import read_curves
from captioning.training.train import train
from captioning.training.trainer import INSTEAD

ONE = "trainer.max_epochs=1"


class Notes(pl.Callback):
    """Counts what it sees, for the test that asked for it by its class."""

    seen: list[str] = []

    def on_train_batch_end(self, trainer, *_):
        self.seen.append(f"step {trainer.global_step}")


@pytest.mark.parametrize("name", INSTEAD)
def test_what_a_run_decides_by_itself_is_refused_by_name(tmp_path, name):
    value = {"default_root_dir": "x"}.get(name, 1)
    with pytest.raises(UserError, match=f"trainer.{name} "):
        train(configuration(ONE, f"+trainer.{name}={value}"), tmp_path)


@pytest.mark.parametrize(
    "option",
    ["+trainer.max_time=soon", "+trainer.profiler=fast", "trainer.precision=7", "+trainer.callbacks=[3]",
     "trainer.max_epochs=-1", "+callbacks.x=1", "+callbacks.x._target_=torch.nn.Identity",
     "trainer.accelerator=abacus", "+trainer.limit_val_batches=0.001"],
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused_in_a_sentence(tmp_path, option):
    with pytest.raises(UserError, match=option.split(".")[-2].lstrip("+") if "_target_" in option else "trainer|call"):
        train(configuration(ONE, option), tmp_path)


def test_a_run_ends_in_time(tmp_path):
    train(configuration("trainer.max_epochs=1000", "+trainer.max_time={seconds: 2}", "patience=null"), tmp_path)
    finished = json.loads((tmp_path / "finished.json").read_text())
    assert finished["minutes"] < 0.5 and (tmp_path / "model/weights.safetensors").exists()


@pytest.mark.parametrize(
    "option",
    ["+callbacks.notes._target_={}", "+trainer.callbacks=[{{_target_: {}}}]", "+trainer.callbacks={{_target_: {}}}"],
)
def test_callbacks_of_ones_own_are_called_beside_those_of_the_run(tmp_path, option):
    Notes.seen.clear()
    train(configuration(ONE, option.format(f"{__name__}.Notes")), tmp_path)
    assert Notes.seen == ["step 1", "step 2", "step 3"]
    assert (tmp_path / "checkpoints/last.ckpt").exists() and (tmp_path / "model/config.yaml").exists()


def test_a_profile_is_left_in_the_folder_of_the_run(tmp_path):
    train(configuration(ONE, "+trainer.profiler=simple"), tmp_path)
    assert "optimizer_step" in (tmp_path / "fit-profile.txt").read_text()


def test_a_run_without_validation_keeps_the_last_step_and_says_so(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "captioning"):
        model = train(configuration(ONE, "+trainer.limit_val_batches=0"), tmp_path)
    assert "no epoch was validated" in caplog.text and "no validation" in (model / "README.md").read_text()
    last = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    kept = load(model).task.state_dict()
    assert all(torch.equal(tensor, last[f"task.{name}"]) for name, tensor in kept.items())


@pytest.mark.parametrize("option", ["trainer.max_epochs=0", "+trainer.max_steps=1"])
def test_a_run_of_hardly_a_step_ends_in_a_model(tmp_path, option):
    assert (train(configuration(option), tmp_path) / "weights.safetensors").exists()


def test_a_rehearsal_runs_every_part_and_keeps_nothing(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "captioning"):
        train(configuration("+trainer.fast_dev_run=true"), tmp_path)
    assert "no model is kept" in caplog.text and not (tmp_path / "model").exists()


@pytest.mark.parametrize("option", ["limit_train_batches=2", "limit_val_batches=0.5", "num_sanity_val_steps=1",
                                    "val_check_interval=1", "detect_anomaly=true", "deterministic=true",
                                    "min_epochs=1", "inference_mode=false"])  # fmt: skip
def test_an_option_that_cuts_or_checks_is_taken(tmp_path, option):
    name, _, value = option.partition("=")
    seen = {}

    class Look(pl.Callback):
        def on_train_end(self, trainer, module):
            seen.update(train=trainer.num_training_batches, val=trainer.num_val_batches)

    model = train(configuration(ONE, "data.val=16", f"+trainer.{option}"), tmp_path, [Look()])
    assert (model / "weights.safetensors").exists()
    if name.startswith("limit"):
        assert seen["train" if "train" in name else "val"] in (2, [1])
    torch.use_deterministic_algorithms(False)


def test_a_batch_learned_by_heart_is_validated_on_itself(tmp_path):
    model = train(configuration("debug=overfit", "trainer.max_epochs=2", "trainer.check_val_every_n_epoch=1",
                                "name=tiny"), tmp_path)  # fmt: skip
    assert "8 validation images" in (model / "README.md").read_text()


def test_few_steps_are_a_whole_run_in_little(tmp_path):
    train(configuration("debug=few_steps", "trainer.limit_train_batches=2", "name=tiny"), tmp_path)
    assert len(read_curves(tmp_path)["train/loss"]) == 1 and (tmp_path / "model/README.md").exists()


def test_a_run_of_fewer_steps_than_the_log_has_lines_between_has_its_loss_in_the_log(tmp_path):
    train(configuration(ONE, "trainer.log_every_n_steps=20"), tmp_path)
    assert read_curves(tmp_path)["train/loss"]


def test_sharded_training_composes_and_is_refused_in_one_sentence_where_there_is_no_gpu(tmp_path):
    given = configuration("trainer.strategy=fsdp", "trainer.devices=2", "trainer.num_nodes=2")
    assert given.trainer.strategy == "fsdp" and given.trainer.num_nodes == 2
    with pytest.raises(UserError, match="(?i)fsdp.*GPU"):
        train(configuration("trainer.strategy=fsdp"), tmp_path)
