"""`captioning train`: one run, or two where `then` names a second phase."""

from __future__ import annotations

import copy
import logging
import signal
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from captioning.runtime.allocator import keep_freed_memory
from captioning.training.interruption import Preempted
from captioning.training.train import train

log = logging.getLogger("captioning")


def second_phase(config: DictConfig, model: Path) -> DictConfig:
    """The configuration that `config.then` makes of `config`, for a run that starts from `model`."""
    phase = copy.deepcopy(config)
    with open_dict(phase):
        for key, value in config.then.items():
            phase[key] = OmegaConf.merge(phase[key], value) if key == "trainer" else value
        phase.then, phase.start = None, str(model)
        phase.resume = "auto" if config.resume else None
    return phase


def run(config: DictConfig, folder: Path) -> int:
    """`captioning train`. -> exit status."""
    keep_freed_memory()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # what a run has to say is said below
    try:
        if config.resume == "auto" and config.get("then") and (folder / "finished.json").exists():
            model = folder / "model"
        else:
            model = train(config, folder)
        if config.get("then"):
            log.info(f"{model} is done; the second phase begins")
            model = train(second_phase(config, model), folder / "then")
    except Preempted as stop:
        log.warning(str(stop))
        return 128 + signal.SIGTERM
    log.info(f"done: {model}. Try `captioning caption PHOTO --model {model}`")
    return 0
