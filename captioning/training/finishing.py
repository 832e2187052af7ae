"""The end of a run: the best epoch as a model, and the card that says where it comes from."""

from __future__ import annotations

import datetime
import logging
import shlex
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from captioning import __version__
from captioning.errors import UserError
from captioning.models.bundle import Bundle, save_bundle
from captioning.runtime.processes import is_first
from captioning.tasks.base import Task
from captioning.training.callbacks import read_curves
from captioning.training.initial_weights import read_start
from captioning.training.low_rank import low_rank_of, merge_low_rank, save_small
from captioning.training.module import TrainingModule
from captioning.training.summary import write_summary

log = logging.getLogger("captioning")


def finish(config: DictConfig, folder: Path, module: TrainingModule, trainer: pl.Trainer) -> Path:
    """The best epoch, or with keep=last the last, as a bundle, written by the first process; the last step where no
    epoch was validated."""
    if not is_first():
        return folder / "model"
    if trainer.fast_dev_run:
        log.warning(f"trainer.fast_dev_run={trainer.fast_dev_run}: every part has run; no model is kept")
        return folder / "model"
    best, last = trainer.checkpoint_callbacks[:2]  # as `make_trainer` orders them
    epoch = last if config.keep == "last" else best
    score = None if best.best_model_score is None else float(best.best_model_score)
    if score is not None and epoch is last:
        score = read_curves(folder)[best.monitor][-1][1]  # the trainer knows none where a finished run is resumed
    if path := epoch.best_model_path:
        if not Path(path).is_file():
            raise UserError(f"{path}, the {config.keep} epoch of this run, is gone: put it back, or train anew")
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        module.load_state_dict(state)
    if score is None:
        log.warning(f"no epoch was validated: the model is that of step {trainer.global_step:,}, of unknown worth")
    changes = low_rank_of(module.task.decoder) if config.lora.rank else None
    if changes:
        merge_low_rank(module.task.decoder)
    if config.start and config.start_share:
        start = read_start(config.start).seeing_more(module.encoder).with_concepts(module.encoder, module.task)
        start.average_into(module.task, config.start_share)
    module.task.end()
    encoder_config = OmegaConf.to_container(config.encoder, resolve=True)
    bundle = Bundle(module.encoder, encoder_config, module.task)
    text = card(config, module.task, score, len(module.val_examples))
    small = changes and config.start and not config.lora.merge
    if not small or not save_small(folder / "model", bundle, changes, str(config.start), card=text):
        save_bundle(folder / "model", bundle, card=text)
    write_summary(folder, module.task, score, trainer)
    return folder / "model"


def card(config: DictConfig, task: Task, score: float | None, images: int) -> str:
    """The README.md of a bundle."""
    about = task.config()
    worth = "no validation"
    if score is not None:
        figure = f"{score:.3f}" if task.monitor[0] == "val/loss" else f"{score:.1f} (x100)"
        worth = f"{figure} on {images:,} validation images"
    which = "last epoch" if config.keep == "last" else "chosen by"
    data = config.data.get("name") or config.data._target_
    if table := config.data.get("file"):
        data = f"{data}: {Path(table).name}"
    overrides = overrides_of_run()
    share = config.get("start_share") if config.get("start") else 0
    averaged = f"| weights | {1 - share:g} of these and {share:g} of those of {config.start} |\n" if share else ""
    given = f"\nTrained by `captioning train {shlex.join(overrides)}`\n" if overrides else ""
    decoder = f"| decoder | {about['decoder']['_target_']} |\n" if "decoder" in about else ""
    return f"""# {config.name}

Made by captioning {__version__} on {datetime.date.today()}.

| | |
| --- | --- |
| task | {about["_target_"]} |
| training data | {data} |
| encoder | {config.encoder._target_} ({config.encoder.get("backbone", "")}) |
{decoder}| {which} | {task.monitor[0].removeprefix("val/")}: {worth} |
{averaged}| terms | those of the training data: {config.data_terms} |
{given}"""


def overrides_of_run() -> list[str]:
    """What the command line of this run said, where one did."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return []
    return list(OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False))
