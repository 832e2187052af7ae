"""One training run, from a composed configuration to a model bundle."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.lock import locked
from captioning.runtime.processes import is_first, one_log
from captioning.tasks.base import Task
from captioning.tasks.predictor import usable
from captioning.training.adopted_parts import adopt_named_parts
from captioning.training.checkpoint_file import read_checkpoint, require_same_model
from captioning.training.disk_space import require_room_for_run
from captioning.training.finishing import finish
from captioning.training.log_files import cut_log, logged_to
from captioning.training.model_parts import built
from captioning.training.module import TrainingModule
from captioning.training.rehearsal import rehearse
from captioning.training.resuming import Beginning, checkpoint_of
from captioning.training.run_examples import RunExamples
from captioning.training.trainer import make_trainer

log = logging.getLogger("captioning")

LOG = "train.log"  # in the run's folder: what the command said, with the time


def train(config: DictConfig, folder: Path, callbacks: Sequence[pl.Callback] = ()) -> Path:
    """Trains as `config` (conf/train.yaml) says, in `folder`. -> the bundle's folder, `folder`/model.

    Leaves train.log, checkpoints/, csv/, curves.svg, TensorBoard logs and the bundle of the best epoch by the task's
    monitor. Raises UserError also where another process trains in that folder.
    """
    alone = locked(folder, "Wait until that has ended, or choose another name=...") if is_first() else nullcontext()
    with alone, logged_to(folder / LOG) if is_first() else nullcontext():
        return _train(config, folder, callbacks)


def _train(config: DictConfig, folder: Path, callbacks: Sequence[pl.Callback]) -> Path:
    if config.batch_size < 1:
        raise UserError(f"batch_size={config.batch_size}: it is 1 or more")
    if config.keep not in ("best", "last"):
        raise UserError(f"keep={config.keep}: it is best, or last")
    one_log()
    checkpoint = checkpoint_of(folder, config.resume)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    adopt_named_parts(config)
    source = instantiate(config.data)
    task = instantiate(config.task, _recursive_=False, _convert_="all")
    examples = RunExamples(*(usable(source.examples(one), task, f"{source.name} {one}") for one in ("train", "val")))
    began = Beginning(config, examples.train, examples.val)
    resumed = read_checkpoint(checkpoint) if checkpoint else {}
    if "began" in resumed:
        began.compare(resumed["began"], checkpoint)
    texts, step = resumed.get("task"), resumed.get("global_step", 0)
    resumed.clear()
    encoder = built(config, source, task, examples.train, (checkpoint, texts))
    task.read_from(source)
    task.rehearse(encoder)
    rehearse(config, folder, task)
    examples, store = examples.seen(config, source, encoder)
    if config.compile:
        task.compile()
        if encoder.finetune:
            encoder.compile()
    if overfit := config.trainer.get("overfit_batches"):
        examples = examples.first_batches(overfit, config.batch_size)
    task.begin(examples.train)
    choose_by_what_decides(task, examples.val)
    module = TrainingModule(
        encoder,
        task,
        optimizer=instantiate(config.optimizer),
        schedule=instantiate(config.schedule),
        val_examples=examples.val,
        encoder_lr=config.encoder_lr,
        finetune_from_epoch=config.finetune_from_epoch,
        began=began.content(),
    )
    data = examples.loaded(config, source, encoder, task, store)
    if checkpoint:
        require_same_model(checkpoint, module)
    require_room_for_run(folder, encoder, task, averaged=bool(config.get("ema")))
    if is_first():
        cut_log(folder, step)
    trainer = make_trainer(config, folder, task, callbacks)
    if len(examples.val) < trainer.world_size:
        raise UserError(f"{len(examples.val)} validation pictures for {trainer.world_size} processes: use fewer")
    log.info(_summary(examples, encoder, task, folder))
    for logger in trainer.loggers:
        logger.log_hyperparams(OmegaConf.to_container(_resolved(config)))
    try:
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    except MisconfigurationException as error:  # two options of the trainer that do not go together
        raise UserError(f"trainer: {' '.join(str(error).split())[:300]}") from None
    except SystemExit:  # how Lightning passes on an interruption
        raise KeyboardInterrupt from None
    return finish(config, folder, module, trainer)


def choose_by_what_decides(task: Task, examples: Sequence[Example]) -> None:
    """Has the loss of validation choose the best epoch where the task's own score cannot tell epochs apart."""
    if task.monitor[0] != "val/loss" and (reason := task.undecided(examples)):
        log.warning(f"{reason}: the best epoch is chosen by val/loss instead of {task.monitor[0]}")
        task.monitor = ("val/loss", "min")


def _resolved(config: DictConfig) -> DictConfig:
    """The configuration with every reference followed that can be."""
    shown = copy.deepcopy(config)
    with open_dict(shown):
        shown.pop("hydra", None)
    try:
        OmegaConf.resolve(shown)
    except OmegaConfBaseException:
        pass
    return shown


def _summary(examples: RunExamples, encoder: Encoder, task: Task, folder: Path) -> str:
    size = sum(p.numel() for p in task.parameters()) / 1e6
    return (
        f"{len(examples.train):,} training and {len(examples.val):,} validation pictures, {task.summary()} "
        f"({size:.1f} million parameters) on {type(encoder).__name__}; run folder {folder}"
    )
