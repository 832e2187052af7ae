"""`captioning train`: one run, or two where `then` names a second phase."""

from __future__ import annotations

import logging
import signal
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from captioning.runtime.allocator import keep_freed_memory
from captioning.training.adopted_parts import adopt_parts, is_model
from captioning.training.interruption import Preempted
from captioning.training.rehearsal import second_phase
from captioning.training.train import train

log = logging.getLogger("captioning")


def run(config: DictConfig, folder: Path) -> int:
    """`captioning train`. -> exit status."""
    keep_freed_memory()
    try:
        model = train_phases(config, folder)
    except Preempted as stop:
        log.warning(str(stop))
        return 128 + stop.number
    except KeyboardInterrupt:
        saved = [place / "checkpoints" / "last.ckpt" for place in (folder / "then", folder)]
        left = next((f": {path} was saved last. Go on with resume=auto" for path in saved if path.exists()), "")
        log.warning(f"interrupted{left}")
        return 128 + signal.SIGINT
    usage = getattr(get_class(config.task._target_), "usage", "")
    log.info(f"done: {model}." + (f" Try `captioning {usage} --model {model}`" if usage else ""))
    return 0


def train_phases(config: DictConfig, folder: Path) -> Path:
    """Trains, and once more where `then` names a second phase. -> the model's folder."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # what a run has to say is said below
    if config.start and is_model(config.start) and HydraConfig.initialized():
        for sentence in adopt_parts(config, *told(config)):
            log.info(sentence)
    if config.resume == "auto" and config.get("then") and (folder / "finished.json").exists():
        model = folder / "model"
    else:
        model = train(config, folder)
    if config.get("then"):
        log.info(f"{model} is done; the second phase begins")
        model = train(second_phase(config, model), folder / "then")
    return model


def told(config: DictConfig) -> tuple[list[str], set[str]]:
    """The overrides of this run, and the groups that it named, an experiment's being all that it may set.

    One that takes the decoder of its start leaves the search to it as well.
    """
    overrides = list(OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False))
    named = {text.lstrip("+").partition("=")[0] for text in overrides}
    if "experiment" in named:
        named |= {"encoder", "decoder"} | (set() if config.decoder.get("of_start") else {"generation"})
    if "concepts" in named:
        named |= {"encoder", "decoder"}
    return overrides, named
