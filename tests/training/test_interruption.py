"""Whatever stops a run, it goes on as if nothing had, or says before it begins that it cannot."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml
from tiny_runs import KEPT, configuration, same, weights

from captioning.errors import UserError
from captioning.training.interruption import Preempted
from captioning.training.log_files import cut_log
from captioning.training.train import train


class At(pl.Callback):
    """Does something when so many steps are done and the next batch begins."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            self.action()


def tell_to_end(number):
    return lambda: os.kill(os.getpid(), number)


def rows(folder):
    """What a run logged, without the seconds: {(step, name): value}, and how many tables and rows it is in."""
    found, count = {}, 0
    (table,) = folder.glob("csv/version_*/metrics.csv")
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            found |= {(row["step"], name): value for name, value in row.items() if value}
            count += 1
    return found, count


@pytest.mark.parametrize(
    ("step", "saved", "options", "number"),
    [
        (3, 4, [], signal.SIGTERM),  # in the second epoch
        (3, 4, [], signal.SIGINT),
        (2, 4, [], signal.SIGTERM),  # at the end of the first: that is finished
        (
            1,
            2,
            ["trainer.accumulate_grad_batches=2", "batch_size=4", "data.train=20"],
            signal.SIGTERM,
        ),  # gradients wait
    ],
)
def test_told_to_end_a_run_saves_and_resumes_to_the_same_weights_and_one_table(tmp_path, step, saved, options, number):
    options = [*options, "trainer.max_epochs=3"]
    train(configuration(*options), tmp_path / "whole")
    before = signal.getsignal(number)
    with pytest.raises(Preempted, match="resume=auto") as stop:
        train(configuration(*options), tmp_path / "told", callbacks=[At(step, tell_to_end(number))])
    assert signal.getsignal(number) is before and stop.value.number == number
    checkpoint = torch.load(tmp_path / "told/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == saved
    train(configuration(*options, "resume=auto"), tmp_path / "told")
    for name in ("best", "last"):
        assert same(weights(tmp_path / "whole", name), weights(tmp_path / "told", name))
    assert rows(tmp_path / "told") == rows(tmp_path / "whole")


def test_what_a_run_does_again_is_taken_out_of_its_table_before(tmp_path):
    train(configuration("trainer.max_epochs=2"), tmp_path)
    whole = rows(tmp_path)
    cut_log(tmp_path, 4)
    assert rows(tmp_path)[0] == {(step, name): value for (step, name), value in whole[0].items() if int(step) < 4}
    cut_log(tmp_path, 0)
    assert not list(tmp_path.glob("csv/version_*/metrics.csv"))


def test_ctrl_c_twice_ends_a_run_at_once(tmp_path):
    def twice():
        tell_to_end(signal.SIGINT)()
        tell_to_end(signal.SIGINT)()

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(configuration("trainer.max_epochs=3"), tmp_path, callbacks=[At(4, twice)])
    assert signal.getsignal(signal.SIGINT) is before
    assert weights(tmp_path, "last")  # of the epoch before


def test_a_run_writes_down_what_it_said_and_what_it_was_told(tmp_path):
    train(configuration("trainer.max_epochs=2", "trainer.log_every_n_steps=50"), tmp_path)
    said = (tmp_path / "train.log").read_text()
    assert re.search(r"INFO epoch 1: train/loss \d+\.\d{3}, val/loss .*, val/CIDEr \d+\.\d, the best so far", said)
    assert "INFO epoch 2: " in said and "24 training and 8 validation pictures" in said
    told = yaml.safe_load(next(tmp_path.glob("csv/version_*/hparams.yaml")).read_text())
    assert told["decoder"]["width"] == 16 and told["seed"] == 3
    with pytest.raises(UserError, match="holds a run already"):
        train(configuration("trainer.max_epochs=2"), tmp_path)
    assert "ERROR" in (tmp_path / "train.log").read_text().splitlines()[-1]


def test_killed_at_any_moment_a_run_resumes_to_the_same_weights(tmp_path):
    command = [sys.executable, Path(__file__).parents[1] / "fuzz" / "fuzz_kills.py", "2", tmp_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 kills" in done.stdout


def test_a_loss_that_is_no_number_stops_with_the_pictures_named(tmp_path):
    class Spoil(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, index):
            if trainer.current_epoch == 1 and index == 1:
                self.ids = batch.ids
                next(module.task.parameters()).data.fill_(float("nan"))

    spoil = Spoil()
    with pytest.raises(UserError, match="the loss is nan in epoch 2, batch 2") as caught:
        train(configuration("trainer.max_epochs=3"), tmp_path, callbacks=[spoil])
    assert repr(spoil.ids[0]) in str(caught.value)
    for name in ("best", "last"):
        assert all(weight.isfinite().all() for weight in weights(tmp_path, name).values())


def test_a_full_disk_is_said_before_training(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 0, 10**4))
    with pytest.raises(UserError, match="features of 32 pictures, and .* are free.*store=DIR"):
        train(configuration(), tmp_path / "run")
    with pytest.raises(UserError, match="what this run keeps, and .* are free.*output=DIR"):
        train(configuration("store=null"), tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_a_disk_that_fills_up_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    from captioning.training.callbacks import TorchCheckpointIO

    good = TorchCheckpointIO.save_checkpoint

    def full(self, checkpoint, path, storage_options=None):
        if checkpoint["epoch"] == 1:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        good(self, checkpoint, path, storage_options)

    monkeypatch.setattr(TorchCheckpointIO, "save_checkpoint", full)
    with pytest.raises(UserError, match="No space left.*resume=auto"):
        train(configuration("trainer.max_epochs=3"), tmp_path)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == KEPT
    assert weights(tmp_path, "best") and weights(tmp_path, "last")
