"""The LightningModule: an encoder, a decoder, an objective, and real scores after every epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from captioning.data.module import Batch
from captioning.decoders.base import Context, Decoder
from captioning.encoders.base import Encoder
from captioning.generation.word_options import with_vocabulary
from captioning.memory import VisualMemory
from captioning.metrics.predictions import merge_predictions
from captioning.metrics.report import evaluate
from captioning.vocabulary import PAD, UNK, Vocabulary, sentence


class CaptioningTask(pl.LightningModule):
    """Minimises `objective` on the training split; captions the validation split with `generation` and scores it.

    `optimizer` and `schedule` are partial functions: optimizer(parameter groups), schedule(optimizer, total_steps).
    A fine-tuned encoder has its own rate, `encoder_lr`. `references` maps validation ids to their captions.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        vocabulary: Vocabulary,
        *,
        objective: Callable,
        generation: Callable,
        optimizer: Callable,
        schedule: Callable,
        references: dict[int | str, list[str]],
        metrics: tuple[str, ...] = ("bleu", "cider"),
        encoder_lr: float = 1e-5,
    ):
        super().__init__()
        self.encoder, self.decoder, self.vocabulary = encoder, decoder, vocabulary
        self.objective, self.generation = objective, with_vocabulary(generation, vocabulary)
        self.optimizer, self.schedule, self.encoder_lr = optimizer, schedule, encoder_lr
        self.references, self.metrics = references, metrics
        self.hypotheses: dict[int | str, str] = {}

    def see(self, seen: VisualMemory | Tensor) -> VisualMemory:
        """A stored memory in single precision, or what the encoder makes of pictures."""
        return seen.float() if isinstance(seen, VisualMemory) else self.encoder(seen)

    def prepare(self, batch: Batch) -> Context:
        """What the decoder needs of a batch."""
        return self.decoder.prepare(self.see(batch.seen))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        loss, parts = self.objective(self.decoder, self.prepare(batch), batch.words)
        size = len(batch.ids)
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in parts.items()},
            batch_size=size,
            prog_bar=True,
            sync_dist=True,
        )
        self.log("train/lr", self.trainer.optimizers[0].param_groups[0]["lr"], batch_size=size)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        context = self.prepare(batch)
        if batch.words is not None:
            _, parts = self.objective(self.decoder, context, batch.words)
            targets = batch.words[:, :, 1:]
            words = int(((targets != PAD) & (targets != UNK)).sum())  # a mean over words, whatever the batches
            self.log("val/loss", parts["loss"], batch_size=words, sync_dist=True, prog_bar=True)
        generated = self.generation(self.decoder, context, max_words=self.vocabulary.max_words)
        for key, ids in zip(batch.ids, generated.words[:, 0].tolist(), strict=True):
            self.hypotheses[key] = sentence(self.vocabulary.decode(ids))

    def on_validation_epoch_end(self) -> None:
        hypotheses, self.hypotheses = gathered(self.hypotheses), {}
        references = {key: self.references[key] for key in hypotheses}
        scores = evaluate(references, hypotheses, metrics=self.metrics).corpus
        shown = {f"val/{name}": 100 * value for name, value in scores.items()}
        self.log_dict(shown, rank_zero_only=False, prog_bar=False)

    def configure_optimizers(self) -> dict[str, Any]:
        groups = [{"params": [p for p in self.decoder.parameters() if p.requires_grad]}]
        if self.encoder.finetune:
            groups.append({"params": [p for p in self.encoder.parameters() if p.requires_grad], "lr": self.encoder_lr})
        optimizer = self.optimizer(groups)
        scheduler = self.schedule(optimizer, self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def gathered(hypotheses: dict[int | str, str]) -> dict[int | str, str]:
    """The hypotheses of every process, one per id."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return hypotheses
    everyone: list = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, hypotheses)
    return merge_predictions(everyone)
