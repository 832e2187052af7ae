"""The LightningModule: an encoder, a decoder, an objective, and real scores after every epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from captioning.batches import Batch
from captioning.decoders.base import Context, Decoder
from captioning.encoders.base import Encoder
from captioning.generation.word_options import with_vocabulary
from captioning.layers.without_dropout import without_dropout
from captioning.memory import VisualMemory
from captioning.metrics.caption_scores import score_captions
from captioning.metrics.predictions import merge_predictions
from captioning.runtime.all_processes import of_all_processes
from captioning.tasks.captioning.augmentation import Augmentation
from captioning.tasks.captioning.objectives import Objective, target_mask
from captioning.text.vocabulary import SPECIALS, Vocabulary, sentence
from captioning.training.parameter_groups import parameter_groups


class CaptioningTask(pl.LightningModule):
    """Minimises `objective` on the training split; captions the validation split with `generation` and scores it.

    `optimizer` and `schedule` are partial functions: optimizer(parameter groups), schedule(optimizer, steps of the
    run, steps of an epoch). A fine-tuned encoder has its own rate, `encoder_lr`, and is frozen before the epoch
    `finetune_from_epoch`. `references` maps validation ids to their captions.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        vocabulary: Vocabulary,
        *,
        objective: Objective,
        generation: Callable,
        optimizer: Callable,
        schedule: Callable,
        references: dict[int | str, list[str]],
        metrics: tuple[str, ...] = ("bleu", "cider"),
        augmentation: Augmentation | None = None,
        encoder_lr: float = 1e-5,
        finetune_from_epoch: int = 0,
    ):
        super().__init__()
        self.encoder, self.decoder, self.vocabulary = encoder, decoder, vocabulary
        self.objective, self.generation = objective, with_vocabulary(generation, vocabulary)
        self.optimizer, self.schedule, self.encoder_lr = optimizer, schedule, encoder_lr
        self.references, self.metrics, self.augmentation = references, metrics, augmentation
        self.finetune_from_epoch = finetune_from_epoch
        self.learning = [p for p in encoder.parameters() if p.requires_grad]
        self.hypotheses: dict[int | str, str] = {}
        self.losses: list[tuple[float, int]] = []  # of validation batches, with the words they are means over

    def see(self, seen: VisualMemory | Tensor) -> VisualMemory:
        """A stored memory in single precision, or what the encoder makes of pictures."""
        return seen.float() if isinstance(seen, VisualMemory) else self.encoder(seen)

    def prepare(self, batch: Batch) -> Context:
        """What the decoder needs of a batch."""
        return self.decoder.prepare(self.see(batch.inputs))

    def on_train_start(self) -> None:
        self.on_train_epoch_start()  # which Lightning leaves out where a run goes on in the middle of an epoch

    def on_train_epoch_start(self) -> None:
        self.objective.set_epoch(self.current_epoch)
        learns = self.current_epoch >= self.finetune_from_epoch
        for parameter in self.learning:
            parameter.requires_grad_(learns)
        self.encoder.train(learns)
        self.decoder.train()
        if not self.objective.dropout:
            without_dropout(self.decoder)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        memory, words = self.see(batch.inputs), batch.words
        if self.augmentation is not None:
            memory, words = self.augmentation(memory, words)
        loss, parts = self.objective(self.decoder, self.decoder.prepare(memory), words, batch.ids)
        size = len(batch.ids)
        shared = {"batch_size": size, "sync_dist": True}
        self.log("train/loss", parts.pop("loss").detach(), prog_bar=True, **shared)
        rest = {f"train/{name}": value.detach().to(self.device) for name, value in parts.items()}
        self.log_dict(rest | {"train/lr": self.trainer.optimizers[0].param_groups[0]["lr"]}, **shared)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        with torch.autocast(self.device.type, enabled=False):  # scores do not depend on the precision of training
            context = self.prepare(batch)
            if batch.words is not None and (words := int(target_mask(batch.words[:, :, 1:]).sum())):
                loss = self.objective.validate(self.decoder, context, batch.words)
                self.losses.append((float(loss), words))
            generated = self.generation(self.decoder, context, max_words=self.vocabulary.max_words)
        for key, ids in zip(batch.ids, generated.words[:, 0].tolist(), strict=True):
            self.hypotheses[key] = sentence(self.vocabulary.decode(ids))

    def on_validation_epoch_end(self) -> None:
        found = of_all_processes((self.hypotheses, self.losses))
        self.hypotheses, self.losses = {}, []
        hypotheses = merge_predictions(part for part, _ in found)
        losses = [pair for _, part in found for pair in part]
        if losses:  # the mean over words, whatever the batches; Lightning's own drops half a word of an odd sum
            total = sum(loss * words for loss, words in losses)
            self.log("val/loss", total / sum(words for _, words in losses), rank_zero_only=False, prog_bar=True)
        references = {key: self.references[key] for key in hypotheses}
        scores = score_captions(references, hypotheses, metrics=self.metrics).corpus
        shown = {f"val/{name}": 100 * value for name, value in scores.items()}
        self.log_dict(shown, rank_zero_only=False, prog_bar=False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        words = list(self.vocabulary.words[len(SPECIALS) :])
        checkpoint["vocabulary"] = {"words": words, "max_words": self.vocabulary.max_words}

    def configure_optimizers(self) -> dict[str, Any]:
        groups = parameter_groups(self.decoder)
        if self.encoder.finetune:
            groups += parameter_groups(self.encoder, lr=self.encoder_lr)
        optimizer, trainer = self.optimizer(groups), self.trainer
        trainer.fit_loop.setup_data()  # before which nobody knows the batches of an epoch
        total = trainer.estimated_stepping_batches
        per_epoch = max(1, math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches))
        scheduler = self.schedule(optimizer, total, per_epoch)
        interval = {"interval": "step"}
        if isinstance(scheduler, ReduceLROnPlateau):
            interval = {"interval": "epoch", "monitor": "val/CIDEr", "frequency": trainer.check_val_every_n_epoch}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, **interval}}
