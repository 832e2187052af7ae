"""Lightning's trainer as every run has it, and what of Lightning's own options a run takes in, or refuses by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import EarlyStopping, Timer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from captioning.errors import UserError
from captioning.tasks.base import Task
from captioning.training.callbacks import AtomicCheckpointIO, Curves, EpochLines, Progress, RunCheckpoint, SeedEveryStep
from captioning.training.interruption import SaveOnSignal, StopAtNaN
from captioning.training.log_files import RunTable
from captioning.training.weight_average import MovingAverage

PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}
INSTEAD = {  # what a run decides by itself, and how it is told to
    "default_root_dir": "output=DIR is the folder of a run",
    "enable_progress_bar": "progress=false leaves the progress out",
    "enable_checkpointing": "a run without checkpoints has no best epoch to make a model of",
    "use_distributed_sampler": "several processes share the pictures out by themselves",
    "barebones": "it would leave out the checkpoints that the model is made of",
    "reload_dataloaders_every_n_epochs": "the order of pictures is drawn anew in every epoch as it is",
    "limit_test_batches": "training tests nothing: captioning evaluate does",
    "limit_predict_batches": "training predicts the validation split: trainer.limit_val_batches",
    "model_registry": "a finished model is a folder, which a registry can be given",
}


def make_trainer(config: DictConfig, folder: Path, task: Task, callbacks: Sequence[pl.Callback] = ()) -> pl.Trainer:
    """Lightning's trainer with the callbacks and loggers that every run has, and those of the configuration.

    Raises UserError naming an option that a run does not take, or one that has no sense in it.
    """
    given = OmegaConf.to_container(config.trainer, resolve=True)
    for name, reason in INSTEAD.items():
        if given.get(name) is not None:
            raise UserError(f"trainer.{name} is not taken: {reason}")
    if all(given.get(name, usual) in (-1, None) for name, usual in (("max_epochs", None), ("max_steps", -1))):
        raise UserError("trainer.max_epochs=-1: a schedule needs an end to go to. Many epochs and trainer.max_time do")
    saving = {"dirpath": folder / "checkpoints", "enable_version_counter": False, "save_on_train_epoch_end": True}
    monitor, mode = task.monitor
    timer = _timer(given.pop("max_time", None))
    best = RunCheckpoint(filename="best", monitor=monitor, mode=mode, **saving)
    last = RunCheckpoint(filename="last", **saving)
    callbacks = [*callbacks, best, last, SeedEveryStep(config.seed), Curves(folder, task), EpochLines()]
    if config.ema is not None:
        callbacks.append(MovingAverage(config.ema))
    if config.patience and config.keep == "best":
        callbacks.append(EarlyStopping(monitor, mode=mode, patience=config.patience, check_on_train_epoch_end=False))
    if config.progress:
        callbacks.append(Progress(leave=True))
    callbacks += [timer, StopAtNaN(), SaveOnSignal(folder / "checkpoints" / "last.ckpt")]
    places = {"dirpath": folder / "checkpoints", "save_dir": folder}
    callbacks += _parts(config.get("callbacks"), pl.Callback, "callbacks", places)
    callbacks += _parts(given.pop("callbacks", None), pl.Callback, "trainer.callbacks", places)
    loggers = [RunTable(folder)]  # of which the curves are drawn
    loggers += _parts(config.get("logger"), Logger, "logger", places)
    asked = given.pop("logger", None)
    loggers += [] if isinstance(asked, bool) else _parts(asked, Logger, "trainer.logger", places)
    plugins = [AtomicCheckpointIO(), *_parts(given.pop("plugins", None), object, "trainer.plugins", {})]
    given.pop("overfit_batches", None)  # which examples are seen is the data's
    own = {
        "default_root_dir": folder,
        "enable_progress_bar": bool(config.progress),
        "num_sanity_val_steps": given.pop("num_sanity_val_steps", 0),
        "use_distributed_sampler": False,
        "profiler": _profiler(given.pop("profiler", None), folder),
    }
    if config.finetune_from_epoch and several_devices(given):
        own["strategy"] = parts_that_wait(given.pop("strategy", "auto"))
    own |= {"callbacks": callbacks, "logger": loggers, "plugins": plugins}
    try:
        return instantiate(given, **own, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, (TypeError, ValueError, MisconfigurationException)):
            raise UserError(f"trainer: {' '.join(str(error.__cause__).split())[:300]}") from None
        raise


def several_devices(given: Mapping[str, Any]) -> bool:
    """Whether a trainer of these options has more than one process."""
    devices, cpu = given.get("devices", "auto"), given.get("accelerator", "auto") == "cpu"
    if isinstance(devices, str) and devices.isdecimal():
        devices = int(devices)
    if devices in ("auto", -1, "-1"):
        devices = 1 if cpu else torch.cuda.device_count()
    count = devices if isinstance(devices, int) else len(devices.split(",") if isinstance(devices, str) else devices)
    return count * int(given.get("num_nodes", 1)) > 1


def parts_that_wait(strategy: Any) -> Any:
    """The strategy for an encoder that begins to learn later: until then it has no gradients to be exchanged."""
    return "ddp_find_unused_parameters_true" if strategy in ("auto", "ddp") else strategy


def _parts(given: Any, kind: type, where: str, places: Mapping[str, Path]) -> list[Any]:
    """Parts of a trainer from what a configuration has there: one, several by name, or a list of them.

    `places` is where those write that are not told where.
    """
    if OmegaConf.is_config(given):
        given = OmegaConf.to_container(given, resolve=True)
    if given is None:
        return []
    if isinstance(given, Mapping) and "_target_" not in given:
        given = [part for part in given.values() if part is not None]
    found = []
    for part in given if isinstance(given, Sequence) and not isinstance(given, str) else [given]:
        if not (isinstance(part, Mapping) and "_target_" in part):
            raise UserError(f"{where}: {part!r} describes nothing: give a class, {where}.NAME._target_=package.Class")
        try:
            takes = signature(get_object(part["_target_"])).parameters
            missing = {name: str(place) for name, place in places.items() if name in takes and name not in part}
            made = instantiate(part, **missing, _convert_="all")
        except (InstantiationException, ImportError) as error:
            cause = error if isinstance(error, ImportError) else error.__cause__
            if not isinstance(cause, ImportError):
                raise
            reason = " ".join(str(cause).split())
            raise UserError(f"{where}: {reason} Loggers: pip install 'captioning[wandb,mlflow]'") from None
        if not isinstance(made, kind):
            raise UserError(f"{where}: {part['_target_']} is no {kind.__name__}")
        found.append(made)
    return found


def _timer(max_time: Any) -> Timer:
    """What measures a run's time, and ends it in time. A timer of Lightning's own would be the second."""
    try:
        return Timer(duration=max_time, interval="step")
    except (TypeError, ValueError, MisconfigurationException) as error:
        raise UserError(
            f"trainer.max_time={max_time}: it is days:hours:minutes:seconds, '00:02:30:00', or {{hours: 2}} ({error})"
        ) from None


def _profiler(asked: Any, folder: Path) -> Profiler | None:
    """A profiler whose table is left in the run's folder, where a logger that nobody reads would have had it."""
    if asked is None:
        return None
    if isinstance(asked, Mapping):
        return _parts(asked, Profiler, "trainer.profiler", {"dirpath": folder})[0]
    if asked not in PROFILERS:
        raise UserError(f"trainer.profiler={asked}: it is {', '.join(PROFILERS)}, or a class of your own")
    return PROFILERS[asked](dirpath=folder, filename="profile")
