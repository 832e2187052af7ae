"""One training run, from a composed configuration to a model bundle."""

from __future__ import annotations

import copy
import datetime
import logging
import os
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from inspect import signature
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from captioning import __version__
from captioning.batches import Examples, TaskData
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.convert import described
from captioning.features.imagined import ImaginedMemories
from captioning.features.stored import stored
from captioning.files.lock import locked
from captioning.models.bundle import Bundle, save_bundle
from captioning.runtime.processes import first_process_first, is_first, one_log
from captioning.tasks.base import Task
from captioning.tasks.predictor import usable
from captioning.training.adopted_parts import adopt_named_parts
from captioning.training.checkpoint_file import check_checkpoint, read_checkpoint, require_same_model
from captioning.training.disk_space import require_room_for_run
from captioning.training.initial_weights import read_start
from captioning.training.low_rank import add_low_rank, merge_low_rank
from captioning.training.module import TrainingModule
from captioning.training.rehearsal import rehearse
from captioning.training.resuming import Beginning
from captioning.training.summary import write_summary
from captioning.training.trainer import make_trainer

log = logging.getLogger("captioning")


def train(config: DictConfig, folder: Path, callbacks: Sequence[pl.Callback] = ()) -> Path:
    """Trains as `config` (conf/train.yaml) says, in `folder`. -> the bundle's folder, `folder`/model.

    Leaves checkpoints/, csv/, curves.svg, TensorBoard logs and the bundle of the best epoch by the task's monitor.
    Raises UserError also where another process trains in that folder.
    """
    alone = locked(folder, "Wait until that has ended, or choose another name=...") if is_first() else nullcontext()
    with alone:
        return _train(config, folder, callbacks)


def _train(config: DictConfig, folder: Path, callbacks: Sequence[pl.Callback]) -> Path:
    if config.batch_size < 1:
        raise UserError(f"batch_size={config.batch_size}: it is 1 or more")
    one_log()
    checkpoint = _checkpoint(folder, config.resume)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    adopt_named_parts(config)
    source = instantiate(config.data)
    task = instantiate(config.task, _recursive_=False, _convert_="all")
    parts = (usable(source.examples(split), task, f"{source.name} {split}") for split in ("train", "val"))
    train_examples, val_examples = parts
    began = Beginning(config, train_examples, val_examples)
    resumed = read_checkpoint(checkpoint) if checkpoint else {}
    if "began" in resumed:
        began.compare(resumed["began"], checkpoint)
    start = read_start(config.start) if config.start else None
    grown = 0
    if start:
        task.read_texts(start.texts, str(start.path))
        if config.get("grow"):
            grown = task.grow(source.distinct(train_examples))
    else:
        task.fit(source.distinct(train_examples))
    if resumed.get("task"):  # the words of the weights, whatever others the data would give today
        task.read_texts(resumed.pop("task"), str(checkpoint))
    resumed.clear()
    config.encoder = described(config.encoder, config.store)
    encoder = instantiate(config.encoder)
    task.build(encoder, part_of)
    if start:
        start = start.seeing_more(encoder).with_concepts(encoder, task)
        start.fill("encoder", encoder)
        (start.with_words(grown, task) if grown else start).fill("task", task)
    if config.lora.rank:
        if not hasattr(task, "decoder"):
            raise UserError(f"lora.rank={config.lora.rank}: {type(task).__name__} has no decoder to learn beside")
        add_low_rank(task.decoder, **config.lora)
    task.rehearse(encoder)
    rehearse(config, folder, task)
    plain = OmegaConf.to_container(config.encoder, resolve=True)
    with first_process_first():
        pictures = [example for example in (*train_examples, *val_examples) if example.file or not source.has_texts]
        store, readable = stored(config.store, source, encoder, plain, pictures)
    texts = [example for example in train_examples if source.has_texts and not example.file]
    readable |= {example.id for example in texts}
    train_examples, val_examples = ([e for e in part if e.id in readable] for part in (train_examples, val_examples))
    if config.compile:
        task.compile()
        if encoder.finetune:
            encoder.compile()
    if overfit := config.trainer.get("overfit_batches"):
        train_examples = val_examples = first_batches(train_examples, overfit, config.batch_size)
    task.begin(train_examples)
    if task.monitor[0] != "val/loss" and (reason := task.undecided(val_examples)):
        log.warning(f"{reason}: the best epoch is chosen by val/loss instead of {task.monitor[0]}")
        task.monitor = ("val/loss", "min")
    module = TrainingModule(
        encoder,
        task,
        optimizer=instantiate(config.optimizer),
        schedule=instantiate(config.schedule),
        val_examples=val_examples,
        encoder_lr=config.encoder_lr,
        finetune_from_epoch=config.finetune_from_epoch,
        began=began.content(),
    )
    imagine = None
    if texts:
        if store is None:
            raise UserError("store=null: captions without photos learn from stored ones how detectors err; store=auto")
        photos = [example for example in train_examples if example.file]
        most = {name: getattr(encoder, name) for name in ("most_regions", "most_nouns") if hasattr(encoder, name)}
        imagine = ImaginedMemories(store, photos, strangers=config.strangers, seed=config.seed, **most)
    shown = {"source": source, "encoder": encoder, "store": store, "targets": task.targets, "seed": config.seed}
    data = TaskData(
        Examples(train_examples, **shown, imagine=imagine, vary=True),
        Examples(val_examples, **shown),
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        seed=config.seed,
    )
    if checkpoint:
        require_same_model(checkpoint, module)
    require_room_for_run(folder, encoder, task, averaged=bool(config.get("ema")))
    trainer = make_trainer(config, folder, task, callbacks)
    if len(val_examples) < trainer.world_size:
        raise UserError(f"{len(val_examples)} validation pictures for {trainer.world_size} processes: use fewer")
    log.info(_summary(train_examples, val_examples, encoder, task, folder))
    for logger in trainer.loggers:
        logger.log_hyperparams(OmegaConf.to_container(_resolved(config)))
    try:
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    except MisconfigurationException as error:  # two options of the trainer that do not go together
        raise UserError(f"trainer: {' '.join(str(error).split())[:300]}") from None
    except SystemExit:  # how Lightning passes on an interruption
        raise KeyboardInterrupt from None
    return finish(config, folder, module, trainer)


def first_batches(examples: list[Example], overfit: int | float, batch_size: int) -> list[Example]:
    """What trainer.overfit_batches leaves to learn and to validate on: so many batches, or a share of the examples."""
    few = int(overfit * len(examples)) if isinstance(overfit, float) else overfit * batch_size
    return examples[: max(1, few)]


def part_of(config: Any, kind: type = object, **sizes: Any) -> Any:
    """What a task's configuration of a part describes. A user's own: Hydra makes whatever it names.

    Numbers among the `sizes` go to parts inside it as well, such as a decoder inside another, if they take them.
    """
    return instantiate(_with_sizes(config, {key: value for key, value in sizes.items() if type(value) is int}), **sizes)


def _with_sizes(config: Any, sizes: dict[str, int]) -> Any:
    if isinstance(config, (list, ListConfig)):
        return [_with_sizes(value, sizes) for value in config]
    if not isinstance(config, (dict, DictConfig)):
        return config
    inside = {key: _with_sizes(value, sizes) for key, value in config.items()}
    if "_target_" not in inside:
        return inside
    takes = signature(get_object(inside["_target_"])).parameters
    return {**{key: value for key, value in sizes.items() if key in takes}, **inside}


def finish(config: DictConfig, folder: Path, module: TrainingModule, trainer: pl.Trainer) -> Path:
    """The best epoch as a bundle, written by the first process; the last step where no epoch was validated."""
    import torch

    if not is_first():
        return folder / "model"
    if trainer.fast_dev_run:
        log.warning(f"trainer.fast_dev_run={trainer.fast_dev_run}: every part has run; no model is kept")
        return folder / "model"
    best = trainer.checkpoint_callback  # the first of the two
    score = None if best.best_model_score is None else float(best.best_model_score)
    if best.best_model_path:
        if not Path(best.best_model_path).is_file():
            raise UserError(f"{best.best_model_path}, the best epoch of this run, is gone: put it back, or train anew")
        state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
        module.load_state_dict(state)
    if score is None:
        log.warning(f"no epoch was validated: the model is that of step {trainer.global_step:,}, of unknown worth")
    if config.lora.rank:
        merge_low_rank(module.task.decoder)
    module.task.end()
    encoder_config = OmegaConf.to_container(config.encoder, resolve=True)
    bundle = Bundle(module.encoder, encoder_config, module.task)
    save_bundle(folder / "model", bundle, card=card(config, module.task, score, len(module.val_examples)))
    write_summary(folder, module.task, score, trainer)
    return folder / "model"


def card(config: DictConfig, task: Task, score: float | None, images: int) -> str:
    """The README.md of a bundle."""
    about = task.config()
    worth = "no validation"
    if score is not None:
        figure = f"{score:.3f}" if task.monitor[0] == "val/loss" else f"{score:.1f} (x100)"
        worth = f"{figure} on {images:,} validation images"
    data = config.data.get("name") or config.data._target_
    if table := config.data.get("file"):
        data = f"{data}: {Path(table).name}"
    overrides = overrides_of_run()
    given = f"\nTrained by `captioning train {shlex.join(overrides)}`\n" if overrides else ""
    decoder = f"| decoder | {about['decoder']['_target_']} |\n" if "decoder" in about else ""
    return f"""# {config.name}

Made by captioning {__version__} on {datetime.date.today()}.

| | |
| --- | --- |
| task | {about["_target_"]} |
| training data | {data} |
| encoder | {config.encoder._target_} ({config.encoder.get("backbone", "")}) |
{decoder}| chosen by | {task.monitor[0].removeprefix("val/")}: {worth} |
| terms | those of the training data: {config.data_terms} |
{given}"""


def overrides_of_run() -> list[str]:
    """What the command line of this run said, where one did."""
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return []
    return list(OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False))


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


def _checkpoint(folder: Path, resume: str | None) -> Path | None:
    """The checkpoint to go on from. Raises UserError where a run would overwrite another, or cannot be written."""
    try:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}. Choose another with output=DIR") from None
    if not os.access(folder, os.W_OK):
        raise UserError(f"{folder} cannot be written. Choose another with output=DIR")
    last = folder / "checkpoints" / "last.ckpt"
    if resume == "auto":
        if not os.path.lexists(last):
            return None
        check_checkpoint(last)
        return last
    if resume:
        if not os.path.lexists(resume):
            raise UserError(f"resume={resume}: no such checkpoint. resume=auto takes the run's last one")
        check_checkpoint(Path(resume))
        return Path(resume)
    if last.exists():
        raise UserError(f"{folder} holds a run already: go on with resume=auto, or choose another with name=NAME")
    return None


def _summary(train: list[Example], val: list[Example], encoder: Encoder, task: Task, folder: Path) -> str:
    size = sum(p.numel() for p in task.parameters()) / 1e6
    return (
        f"{len(train):,} training and {len(val):,} validation pictures, {task.summary()} ({size:.1f} million "
        f"parameters) on {type(encoder).__name__}; run folder {folder}"
    )
