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
from captioning.files.terminal import complain


class Preempted(Exception):
    """The run was told to end (`number`: SIGTERM, or SIGINT, which is Ctrl-C) and is saved; the message says where."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.number = number


class SaveOnSignal(pl.Callback):
    """Told to end, a run saves after the step that it is in, as `path`, and raises Preempted.

    In the middle of an epoch, that is; validation is finished first, because what it finds belongs to the epoch.
    A second Ctrl-C ends it at once.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.requested = 0  # the signal that came
        self._before: dict[int, Any] = {}
        self._steps = 0
        self._done = (0, 0)  # an epoch, and how many of its batches

    @property
    def state_key(self) -> str:
        """As it was called when the first checkpoints were written."""
        return "SaveOnSigterm"

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
            # In place of those of Lightning, which talk to other processes from within the signal, or save nothing
            self._before = {one: signal.signal(one, self._listen) for one in (signal.SIGTERM, signal.SIGINT)}

    def _listen(self, number: int, frame: Any) -> None:
        if number == signal.SIGINT and self.requested:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt
        self.requested = number
        if number == signal.SIGINT:
            complain("the run ends after this step and is saved; Ctrl-C once more ends it at once")

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        stepped = trainer.global_step != self._steps  # gradients that wait for more batches are in no checkpoint
        self._steps = trainer.global_step
        self._done = (trainer.current_epoch, index + 1)
        last = index + 1 == trainer.num_training_batches
        requested = trainer.strategy.reduce_boolean_decision(bool(self.requested), all=False)
        if requested and stepped and not last:
            trainer._logger_connector.update_train_step_metrics()  # which Lightning does after this hook alone
            trainer.save_checkpoint(self.path)
            how = "interrupted" if self.requested == signal.SIGINT else "told to end (SIGTERM)"
            raise Preempted(
                f"{how} in epoch {trainer.current_epoch + 1}, step {trainer.global_step:,}: saved "
                f"{self.path}. Go on with resume=auto",
                self.requested or signal.SIGTERM,
            )

    def teardown(self, trainer: pl.Trainer, module: pl.LightningModule, stage: str) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


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
