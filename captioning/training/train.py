"""One training run, from a composed configuration to a model bundle."""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from captioning import __version__
from captioning.batches import CaptionData, Examples
from captioning.decoders.base import Decoder
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.convert import described
from captioning.features.stored import stored
from captioning.models.bundle import Bundle, save_bundle
from captioning.runtime.processes import first_process_first, is_first, one_log
from captioning.tasks.captioning.task import CaptioningTask
from captioning.text.vocabulary import Vocabulary
from captioning.training.callbacks import AtomicCheckpointIO, Curves, Progress, SeedEveryStep
from captioning.training.disk_space import require_room_for_run
from captioning.training.initial_weights import read_start
from captioning.training.interruption import SaveOnSigterm, StopAtNaN
from captioning.training.parameter_groups import compile_forward_features
from captioning.training.summary import write_summary
from captioning.training.weight_average import MovingAverage

log = logging.getLogger("captioning")


def train(config: DictConfig, folder: Path, callbacks: Sequence[pl.Callback] = ()) -> Path:
    """Trains as `config` (conf/train.yaml) says, in `folder`. -> the bundle's folder, `folder`/model.

    Leaves checkpoints/, metrics.csv, curves.svg, TensorBoard logs and the bundle of the best epoch by validation CIDEr.
    """
    for name in ("batch_size", "captions_per_image"):
        if config[name] < 1:
            raise UserError(f"{name}={config[name]}: it is 1 or more")
    one_log()
    checkpoint = _checkpoint(folder, config.resume)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    source = instantiate(config.data)
    train_examples, val_examples = source.examples("train"), source.examples("val")
    start = read_start(config.start) if config.start else None
    if start:
        vocabulary = start.vocabulary
    else:
        vocabulary = Vocabulary.build(source.texts(train_examples), **config.vocabulary)
    config.encoder = described(config.encoder, config.store)
    encoder = instantiate(config.encoder)
    if start:
        start = start.seeing_more(encoder)
        start.fill("encoder", encoder)
    plain = OmegaConf.to_container(config.encoder, resolve=True)
    with first_process_first():
        store, readable = stored(config.store, source, encoder, plain, [*train_examples, *val_examples])
    train_examples, val_examples = ([e for e in part if e.id in readable] for part in (train_examples, val_examples))
    decoder = instantiate(config.decoder, visual_width=encoder.width, vocabulary_size=len(vocabulary))
    if start:
        start.fill("decoder", decoder)
    if config.compile:
        compile_forward_features(encoder, decoder)
    task = make_task(config, encoder, decoder, vocabulary, train_examples, val_examples)
    seen = {"source": source, "encoder": encoder, "store": store}
    data = make_data(config, task, train_examples, val_examples, seen)
    require_room_for_run(folder, encoder, decoder, averaged=bool(config.get("ema")))
    trainer = make_trainer(config, folder, callbacks)
    if len(val_examples) < trainer.world_size:
        raise UserError(f"{len(val_examples)} validation pictures for {trainer.world_size} processes: use fewer")
    log.info(_summary(train_examples, val_examples, task, folder))
    try:
        trainer.fit(task, data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit:  # how Lightning passes on an interruption
        raise KeyboardInterrupt from None
    return finish(config, folder, task, trainer)


def make_task(
    config: DictConfig,
    encoder: Encoder,
    decoder: Decoder,
    vocabulary: Vocabulary,
    train_examples: list[Example],
    val_examples: list[Example],
) -> CaptioningTask:
    """What is learnt, by which objective, and on what it is judged."""
    objective = instantiate(config.objective)
    objective.setup(vocabulary, {e.id: e.captions for e in train_examples})
    return CaptioningTask(
        encoder,
        decoder,
        vocabulary,
        objective=objective,
        generation=instantiate(config.validation.generation),
        optimizer=instantiate(config.optimizer),
        schedule=instantiate(config.schedule),
        references={e.id: list(e.captions) for e in val_examples},
        augmentation=instantiate(config.augmentation, vocabulary),
        encoder_lr=config.encoder_lr,
        finetune_from_epoch=config.finetune_from_epoch,
    )


def make_data(
    config: DictConfig,
    task: CaptioningTask,
    train_examples: list[Example],
    val_examples: list[Example],
    seen: dict[str, Any],
) -> CaptionData:
    """Batches of both splits. `seen`: the source, encoder and store that pictures or their features come from."""
    shared = seen | {"captions_per_image": config.captions_per_image, "seed": config.seed}
    words = task.vocabulary if task.objective.reads_captions else None
    return CaptionData(
        Examples(train_examples, **shared, vocabulary=words, vary=True),
        Examples(val_examples, **shared, vocabulary=task.vocabulary),
        batch_size=config.batch_size,
        num_workers=config.num_workers,
        seed=config.seed,
    )


def make_trainer(config: DictConfig, folder: Path, callbacks: Sequence[pl.Callback] = ()) -> pl.Trainer:
    """Lightning's trainer with the callbacks and loggers that every run has."""
    from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, Timer
    from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

    saving = {"dirpath": folder / "checkpoints", "enable_version_counter": False, "save_on_train_epoch_end": True}
    best = ModelCheckpoint(filename="best", monitor="val/CIDEr", mode="max", **saving)
    last = ModelCheckpoint(filename="last", **saving)
    callbacks = [*callbacks, best, last, SeedEveryStep(config.seed), Curves(folder)]
    if config.ema is not None:
        callbacks.append(MovingAverage(config.ema))
    if config.patience:
        callbacks.append(
            EarlyStopping("val/CIDEr", mode="max", patience=config.patience, check_on_train_epoch_end=False)
        )
    if config.progress:
        callbacks.append(Progress(leave=True))
    callbacks += [Timer(), StopAtNaN(), SaveOnSigterm(folder / "checkpoints" / "last.ckpt")]
    return instantiate(
        config.trainer,
        callbacks=callbacks,
        logger=[CSVLogger(folder, name="csv"), TensorBoardLogger(folder, name=None, version="tensorboard")],
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=bool(config.progress),
        default_root_dir=folder,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        _convert_="all",
    )


def finish(config: DictConfig, folder: Path, task: CaptioningTask, trainer: pl.Trainer) -> Path:
    """The best epoch as a bundle, written by the first process."""
    import torch

    if not is_first():
        return folder / "model"
    best = trainer.checkpoint_callback  # the first of the two
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    task.load_state_dict(state)
    parts = {key: OmegaConf.to_container(config[key], resolve=True) for key in ("encoder", "decoder", "generation")}
    bundle = Bundle(task.encoder, task.decoder, task.vocabulary, task.generation, parts)
    score = float(best.best_model_score)
    save_bundle(folder / "model", bundle, card=card(config, score, len(task.references)))
    write_summary(folder, score, trainer)
    return folder / "model"


def card(config: DictConfig, cider: float, images: int) -> str:
    """The README.md of a bundle."""
    return f"""# {config.name}

Made by captioning {__version__} on {datetime.date.today()}.

| | |
| --- | --- |
| training data | {config.data.get("name") or config.data._target_} |
| encoder | {config.encoder._target_} ({config.encoder.get("backbone", "")}) |
| decoder | {config.decoder._target_} |
| chosen by | CIDEr {cider:.1f} (x100) on {images:,} validation images, {config.validation.generation._target_} |
| terms | those of the training data: {config.data_terms} |
"""


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
        return last if last.exists() else None
    if resume:
        if not Path(resume).is_file():
            raise UserError(f"resume={resume}: no such checkpoint. resume=auto takes the run's last one")
        return Path(resume)
    if last.exists():
        raise UserError(f"{folder} holds a run already: go on with resume=auto, or choose another with name=NAME")
    return None


def _summary(train: list[Example], val: list[Example], task: CaptioningTask, folder: Path) -> str:
    size = sum(p.numel() for p in task.decoder.parameters()) / 1e6
    return (
        f"{len(train):,} training and {len(val):,} validation pictures, {len(task.vocabulary):,} words; "
        f"{type(task.encoder).__name__} -> {type(task.decoder).__name__} ({size:.1f} million parameters); "
        f"run folder {folder}"
    )
