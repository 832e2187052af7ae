"""Whatever stops a run, it goes on as if nothing had, or says before it begins that it cannot."""

import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from tiny_runs import KEPT, configuration, same, weights

from captioning.errors import UserError
from captioning.training.interruption import Preempted
from captioning.training.train import train


class At(pl.Callback):
    """Does something when so many steps are done and the next batch begins."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            self.action()


def tell_to_end():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("step", "saved", "options"),
    [
        (3, 4, []),  # in the second epoch
        (2, 4, []),  # at the end of the first: that is finished
        (1, 2, ["trainer.accumulate_grad_batches=2", "batch_size=4", "data.train=20"]),  # gradients are waiting
    ],
)
def test_told_to_end_a_run_saves_and_resumes_to_the_same_weights(tmp_path, step, saved, options):
    options = [*options, "trainer.max_epochs=3"]
    train(configuration(*options), tmp_path / "whole")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Preempted, match="resume=auto"):
        train(configuration(*options), tmp_path / "told", callbacks=[At(step, tell_to_end)])
    assert signal.getsignal(signal.SIGTERM) is before
    checkpoint = torch.load(tmp_path / "told/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == saved
    train(configuration(*options, "resume=auto"), tmp_path / "told")
    for name in ("best", "last"):
        assert same(weights(tmp_path / "whole", name), weights(tmp_path / "told", name))


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
