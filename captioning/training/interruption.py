"""Stopping in good order: saved when the machine is taken away, and named when the loss is no number."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from captioning.batches import Batch
from captioning.errors import UserError


class Preempted(Exception):
    """The run was told to end (SIGTERM) and is saved; the message says where."""


class SaveOnSigterm(pl.Callback):
    """Told to end, a run saves after the step that it is in, as `path`, and raises Preempted.

    In the middle of an epoch, that is; validation is finished first, because what it finds belongs to the epoch.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.requested = False
        self._before: Any = None
        self._steps = 0
        self._done = (0, 0)  # an epoch, and how many of its batches

    def state_dict(self) -> dict[str, Any]:
        return {"done": list(self._done)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._done = tuple(state["done"])

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._steps = trainer.global_step
        loader, (epoch, batches) = trainer.train_dataloader, self._done
        loader.sampler.done = (epoch, batches * loader.batch_size)
        module.on_train_epoch_start()  # which Lightning leaves out where it goes on in the middle of an epoch
        if threading.current_thread() is threading.main_thread():
            # In place of Lightning's handler, which talks to the other processes from within the signal
            self._before = signal.signal(signal.SIGTERM, self._listen)

    def _listen(self, *_: Any) -> None:
        self.requested = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        stepped = trainer.global_step != self._steps  # gradients that wait for more batches are in no checkpoint
        self._steps = trainer.global_step
        self._done = (trainer.current_epoch, index + 1)
        last = index + 1 == trainer.num_training_batches
        requested = trainer.strategy.reduce_boolean_decision(self.requested, all=False)
        if requested and stepped and not last:
            trainer.save_checkpoint(self.path)
            raise Preempted(
                f"told to end (SIGTERM) in epoch {trainer.current_epoch + 1}, step {trainer.global_step:,}: saved "
                f"{self.path}. Go on with resume=auto"
            )

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None


class StopAtNaN(pl.Callback):
    """Raises UserError naming the pictures of the first batch whose loss is no finite number.

    The last checkpoint is of before it.
    """

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Batch, index: int
    ) -> None:
        if not bool(torch.isfinite(outputs["loss"])):
            named = ", ".join(map(repr, batch.ids[:5])) + (", ..." if len(batch.ids) > 5 else "")
            raise UserError(
                f"the loss is {float(outputs['loss'])} in epoch {trainer.current_epoch + 1}, batch {index + 1}, of the "
                f"pictures {named}. Lower optimizer.lr or trainer.gradient_clip_val, or look at their captions and "
                "features; the last checkpoint is of before it"
            )
