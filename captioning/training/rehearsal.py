"""What a run will need later is tried before the first step: optimizer, schedule, a second phase, the model's place."""

from __future__ import annotations

import copy
import logging
from inspect import signature
from pathlib import Path

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from captioning.errors import UserError
from captioning.models.bundle import require_place
from captioning.tasks.base import Task
from captioning.training.trainer import make_trainer

log = logging.getLogger("captioning")


def rehearse(config: DictConfig, folder: Path, task: Task) -> None:
    """Raises UserError for what would stop the run, or its second phase, after hours. Warns of what learns nothing."""
    require_place(folder / "model")
    try_learning(config, task)
    started = config.start or config.resume
    if getattr(getattr(task, "objective", None), "needs_start", False) and not started:
        log.warning("this objective improves a model that can speak already: start=NAME, or then=self_critical")
    if config.get("then"):
        phase = second_phase(config, folder / "model")
        try:
            try_learning(phase, task)
            instantiate(phase.objective)
            with open_dict(phase):
                phase.progress, phase.logger = False, None
            make_trainer(phase, folder / "then", task)
            require_place(folder / "then" / "model")
        except (UserError, InstantiationException) as error:
            cause = error.__cause__ if isinstance(error.__cause__, UserError) else error
            raise UserError(f"then: {' '.join(str(cause).split())[:300]}") from None


def try_learning(config: DictConfig, task: Task) -> None:
    """Makes optimizer and schedule for a parameter of no consequence. Raises UserError for values they do not take."""
    schedule = instantiate(config.schedule)
    mode = {"mode": task.monitor[1]} if "mode" in signature(schedule).parameters else {}
    try:
        optimizer = instantiate(config.optimizer)([{"params": [torch.nn.Parameter(torch.zeros(1))]}])
        schedule(optimizer, 100, 10, **mode)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"optimizer or schedule: {' '.join(str(error).split())}") from None
    if not config.optimizer.get("lr", 1.0):
        log.warning("optimizer.lr=0: nothing will be learned")


def second_phase(config: DictConfig, model: Path) -> DictConfig:
    """The configuration that `config.then` makes of `config`, for a run that starts from `model`."""
    phase = copy.deepcopy(config)
    with open_dict(phase):
        for key, value in config.then.items():
            phase[key] = OmegaConf.merge(phase[key], value) if key == "trainer" else value
        phase.then, phase.start = None, str(model)
        phase.resume = "auto" if config.resume else None
        phase.grow = False
    return phase
