"""What happens around the training loop: seeds, files, curves."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.plugins.io import TorchCheckpointIO

from captioning.errors import UserError
from captioning.files.atomic import write_whole
from captioning.tasks.base import Task
from captioning.training.checkpoint_file import replace_with_digest
from captioning.training.log_files import tables

log = logging.getLogger("captioning")


class SeedEveryStep(pl.Callback):
    """The random numbers of a step depend on seed, epoch and batch alone.

    So a step that is done again after an interruption is the step it would have been, whatever happened in between.
    """

    def __init__(self, seed: int):
        self.seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, index: int) -> None:
        step = (self.seed * 100_003 + trainer.current_epoch) * 1_000_003 + index
        torch.manual_seed((step * 1009 + trainer.global_rank) % 2**63)


class Progress(RichProgressBar):
    """Speed, time left and losses; without the number of the run, which its folder says."""

    def get_metrics(self, trainer: pl.Trainer, module: pl.LightningModule) -> dict[str, Any]:
        metrics = super().get_metrics(trainer, module)
        metrics.pop("v_num", None)
        return metrics


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under a temporary name first: a crash never leaves half of one. Its digest is beside it."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        temporary = f"{path}.part"
        try:
            super().save_checkpoint(checkpoint, temporary, storage_options)
            replace_with_digest(temporary, path)
        except (OSError, RuntimeError, UserError) as error:  # torch says a full disk in either way
            with suppress(OSError):
                os.unlink(temporary)
            raise UserError(f"{path} cannot be written ({error}). Make room, and go on with resume=auto") from error


class RunCheckpoint(ModelCheckpoint):
    """Keeps the best or the last epoch, and finds what it kept before in a run folder that was moved since."""

    @property
    def state_key(self) -> str:
        """As Lightning's own: what was saved by it is read by this."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def here(path: str) -> str:
            return path and str(Path(self.dirpath) / Path(path).name)

        moved = {name: here(state_dict.get(name, "")) for name in ("best_model_path", "kth_best_model_path")}
        moved["last_model_path"] = here(state_dict.get("last_model_path", ""))
        kept = {here(path): score for path, score in state_dict.get("best_k_models", {}).items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": kept, "dirpath": self.dirpath})


class EpochLines(pl.Callback):
    """Says after every validation what the epoch came to, and whether it is the best so far."""

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        best = trainer.checkpoint_callback
        score, before = found.get(best.monitor), best.best_model_score
        shown = [name for name in dict.fromkeys(["train/loss", "val/loss", best.monitor]) if name in found]
        told = ", ".join(f"{name} {found[name]:.{3 if name.endswith('loss') else 1}f}" for name in shown)
        better = score is not None and (
            before is None or (score > float(before) if best.mode == "max" else score < float(before))
        )
        log.info(f"epoch {trainer.current_epoch + 1}: {told}{', the best so far' if better else ''}")


class Curves(pl.Callback):
    """Draws the logged curves into the run folder after every validation."""

    def __init__(self, folder: str | Path, task: Task):
        self.folder, self.task = Path(folder), task

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.is_global_zero and not trainer.sanity_checking:
            save_curves(self.folder, self.task.columns)


def read_curves(folder: str | Path) -> dict[str, list[tuple[float, float]]]:
    """Every figure that a run logged as [(epoch, value), ...], the last of each epoch."""
    points: dict[str, dict[int, float]] = {}
    for path in tables(folder):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    if name not in ("epoch", "step") and value:
                        points.setdefault(name, {})[int(row["epoch"])] = float(value)
    return {name: sorted(by_epoch.items()) for name, by_epoch in points.items()}


def save_curves(folder: Path, scores: Sequence[str]) -> None:
    """Writes curves.svg: loss above, the named validation scores below."""
    from captioning.reports.page import curves_svg

    curves = read_curves(folder)
    if curves:
        write_whole(folder / "curves.svg", curves_svg(curves, scores))
