"""The LightningModule: an encoder and a task, and real scores after every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from captioning.batches import Batch
from captioning.encoders.base import Encoder
from captioning.example import Example
from captioning.memory import VisualMemory
from captioning.metrics.predictions import merge_predictions
from captioning.models.former_names import current_keys
from captioning.runtime.all_processes import of_all_processes
from captioning.tasks.base import Task
from captioning.training.parameter_groups import parameter_groups


class TrainingModule(pl.LightningModule):
    """Minimises the task's loss on the training split; predicts the validation split and has the task score it.

    `optimizer` and `schedule` are partial functions: optimizer(parameter groups), schedule(optimizer, steps of the
    run, steps of an epoch). A fine-tuned encoder has its own rate, `encoder_lr`, and is frozen before the epoch
    `finetune_from_epoch`. `val_examples` are those that validation is scored on. `began` goes into every checkpoint.
    """

    def __init__(
        self,
        encoder: Encoder,
        task: Task,
        *,
        optimizer: Callable,
        schedule: Callable,
        val_examples: Sequence[Example],
        encoder_lr: float = 1e-5,
        finetune_from_epoch: int = 0,
        began: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.encoder, self.task = encoder, task
        self.optimizer, self.schedule, self.encoder_lr = optimizer, schedule, encoder_lr
        self.val_examples = {example.id: example for example in val_examples}
        self.finetune_from_epoch, self.began = finetune_from_epoch, began
        self.learning = [p for p in encoder.parameters() if p.requires_grad]
        self.predictions: dict[int | str, Any] = {}
        self.losses: list[
            tuple[float, int]
        ] = []  # of validation batches, with the number of things they are means over

    def memory_of(self, inputs: VisualMemory | Tensor) -> VisualMemory:
        """A stored memory in single precision, or what the encoder makes of pictures."""
        return inputs.float() if isinstance(inputs, VisualMemory) else self.encoder(inputs)

    def on_train_start(self) -> None:
        batches = max(1, int(self.trainer.num_training_batches))  # an epoch that is shorter has a line in the log, too
        self.trainer.log_every_n_steps = min(self.trainer.log_every_n_steps, batches)
        self.on_train_epoch_start()  # which Lightning leaves out where a run goes on in the middle of an epoch

    def on_train_epoch_start(self) -> None:
        learns = self.current_epoch >= self.finetune_from_epoch
        for parameter in self.learning:
            parameter.requires_grad_(learns)
        self.encoder.train(learns)
        self.task.train()
        self.task.set_epoch(self.current_epoch)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        loss, parts = self.task.loss(self.memory_of(batch.inputs), batch.targets, batch.ids)
        shared = {"batch_size": len(batch.ids), "sync_dist": True}
        self.log("train/loss", parts.pop("loss", loss).detach(), prog_bar=True, **shared)
        rest = {f"train/{name}": value.detach().to(self.device) for name, value in parts.items()}
        self.log_dict(rest | {"train/lr": self.trainer.optimizers[0].param_groups[0]["lr"]}, **shared)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        with torch.autocast(self.device.type, enabled=False):  # scores do not depend on the precision of training
            memory = self.memory_of(batch.inputs)
            if (loss := self.task.validation_loss(memory, batch.targets, batch.ids)) is not None:
                self.losses.append(loss)
            self.predictions |= dict(zip(batch.ids, self.task.predict(memory, batch.targets), strict=True))

    def on_validation_epoch_end(self) -> None:
        found = of_all_processes((self.predictions, self.losses))
        self.predictions, self.losses = {}, []
        predictions = merge_predictions(part for part, _ in found)
        losses = [pair for _, part in found for pair in part]
        if losses:  # the mean over words, whatever the batches; Lightning's own drops half a word of an odd sum
            total = sum(loss * count for loss, count in losses)
            self.log("val/loss", total / sum(count for _, count in losses), rank_zero_only=False, prog_bar=True)
        scores = self.task.score(predictions, [self.val_examples[key] for key in predictions]).corpus
        for name, value in scores.items():
            self.log(f"val/{name}", 100 * value, rank_zero_only=False, prog_bar=f"val/{name}" == self.task.monitor[0])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["task"] = self.task.texts()
        if self.began is not None:
            checkpoint["began"] = dict(self.began)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        own = self.state_dict()
        checkpoint["state_dict"] = {new: state[old] for new, old in current_keys(state, own).items()}

    def configure_optimizers(self) -> dict[str, Any]:
        groups = parameter_groups(self.task)
        if self.encoder.finetune:
            groups += parameter_groups(self.encoder, lr=self.encoder_lr)
        optimizer, trainer = self.optimizer(groups), self.trainer
        trainer.fit_loop.setup_data()  # before which nobody knows the batches of an epoch
        total = trainer.estimated_stepping_batches
        per_epoch = max(1, math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))
        mode = {"mode": self.task.monitor[1]} if "mode" in signature(self.schedule).parameters else {}
        scheduler = self.schedule(optimizer, total, per_epoch, **mode)
        interval = {"interval": "step"}
        if isinstance(scheduler, ReduceLROnPlateau):
            every = trainer.check_val_every_n_epoch
            interval = {"interval": "epoch", "monitor": self.task.monitor[0], "frequency": every}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, **interval}}
