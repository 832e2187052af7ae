"""What a run began with, kept in its checkpoints: it goes on with the same words and data, or says why not."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from captioning.errors import UserError
from captioning.example import Example
from captioning.training.checkpoint_file import check_checkpoint

log = logging.getLogger("captioning")

# Settings without which the weights, or the state of the optimizer, are those of another run.
BINDING = (
    "encoder", "decoder", "concepts", "vocabulary", "task._target_", "objective._target_", "optimizer._target_",
    "schedule._target_", "data._target_",
)  # fmt: skip
# Settings of this start alone, or that are said under another name; data are compared themselves.
PASSING = (
    "resume",
    "output",
    "name",
    "progress",
    "hydra",
    "debug",
    "experiment",
    "task",
    "encoder.weights",
    "data.file",
    "data.root",
    "data.shards",
)
REMEDY = "Go on as the run began, or begin another from its weights: name=NEW start=%s"


class Beginning:
    """The configuration and the data of a run, as plain data."""

    def __init__(self, config: DictConfig, train: Sequence[Example], val: Sequence[Example]):
        settings = flat(OmegaConf.to_container(config, resolve=False))
        for key in settings:
            settings[key] = _resolved(config, key)
        self.settings = settings
        self.data = {"train": [len(train), digest(train)], "val": [len(val), digest(val)]}

    def content(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {"settings": json.dumps(self.settings, default=str), "data": self.data}

    def compare(self, kept: Mapping[str, Any], checkpoint: Path) -> None:
        """Raises UserError naming what must be as it was and is not; what else differs is said."""
        remedy = REMEDY % checkpoint
        for split, (count, mark) in self.data.items():
            then, before = kept["data"][split]
            if mark != before:
                counts = f"{then:,} pictures then, {count:,} now" if then != count else "with other captions or ids"
                raise UserError(f"resume: the {split} data are not those that the run began with ({counts}). {remedy}")
        before = json.loads(kept["settings"])
        now = json.loads(json.dumps(self.settings, default=str))
        changed = {
            key: f"{key} was {before.get(key)} and is {now.get(key)}"
            for key in dict.fromkeys([*before, *now])
            if before.get(key) != now.get(key) and not under(key, PASSING)
        }
        binding = [text for key, text in changed.items() if under(key, BINDING)]
        if binding:
            raise UserError(f"resume: {'; '.join(binding)}. {remedy}")
        if changed:
            log.warning(f"resume: unlike when the run began, {'; '.join(changed.values())}")


def checkpoint_of(folder: Path, resume: str | None) -> Path | None:
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


def digest(examples: Iterable[Example]) -> str:
    """A mark of ids and captions, whatever their order."""
    marks = sorted(hashlib.sha256(repr((one.id, one.captions, one.labels)).encode()).hexdigest() for one in examples)
    return hashlib.sha256("".join(marks).encode()).hexdigest()


def flat(settings: Any, name: str = "") -> dict[str, Any]:
    """{"decoder.width": 512, ...} of nested settings."""
    if not isinstance(settings, dict) or not settings:
        return {name: settings}
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= flat(value, f"{name}.{key}" if name else str(key))
    return found


def under(key: str, names: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _resolved(config: DictConfig, key: str) -> Any:
    """A setting's value; as it is written where it takes it from what is no more there, such as Hydra's own."""
    try:
        value = OmegaConf.select(config, key)
    except Exception:  # an interpolation into nothing raises several kinds
        return None
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
