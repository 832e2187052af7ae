"""`captioning.train(...)`: what `captioning train` does, called from Python."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from captioning.errors import UserError


def train(*overrides: str, config: Any = None, output: str | os.PathLike[str] | None = None, **options: Any) -> Path:
    """Trains a model and returns its folder, for `captioning.load`.

    `overrides` are those of the command line; `options` are the same by keyword, nested ones as mappings:

    >>> captioning.train("experiment=scenes", trainer={"max_epochs": 5}, output="runs/mine")
    >>> captioning.train(data="table", batch_size=16, output="runs/mine", **{"data.file": "photos.csv"})

    `config` is a whole configuration instead: a mapping, or the file of one, such as that of a former run in its
    .hydra/config.yaml; overrides and options change it. `output` is the run's folder.

    Raises UserError as the command would say it, and `Preempted` for a run that was interrupted and is saved.
    """
    from captioning.commands.hydra import prepare
    from captioning.commands.train import train_phases
    from captioning.runtime.allocator import keep_freed_memory

    texts = [*overrides, *(text for key, value in options.items() for text in override_texts(key, value))]
    if output is not None:
        texts.append(f"output={quoted(os.fspath(output))}")
    keep_freed_memory()
    with composed(texts, config, None if output is None else Path(output)) as made:
        prepare("train", made)
        return train_phases(made, Path(made.output))


def override_texts(key: str, value: Any) -> Iterator[str]:
    """A keyword as the command line has it: {"max_epochs": 5} of the key trainer is trainer.max_epochs=5."""
    if isinstance(value, Mapping) and value:
        for inner, part in value.items():
            yield from override_texts(f"{key}.{inner}", part)
    else:
        yield f"{key}={written(value)}"


def written(value: Any) -> str:
    """A value in the grammar of overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, os.PathLike)):
        return quoted(os.fspath(value))
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(written, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{quoted(str(key))}: {written(part)}' for key, part in value.items())}}}"
    raise UserError(f"{value!r} is nothing that a configuration can hold: give numbers, texts, lists and mappings")


def quoted(text: str) -> str:
    """A text as it is where it is one word, else in quotes."""
    if text and all(letter.isalnum() or letter in "_./-" for letter in text):
        return text
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


@contextmanager
def composed(overrides: list[str], config: Any, output: Path | None) -> Iterator[Any]:
    """The configuration of a run, while Hydra knows what was chosen. Raises UserError for what does not compose."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from captioning.commands.hydra import conf_folder, folder_name, say_nearest, usual_name

    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    overrides = [usual_name(text) for text in overrides]
    chosen, whole = HydraConfig.instance(), GlobalHydra.instance()
    before = chosen.cfg, whole.hydra  # of a program that uses Hydra itself
    whole.hydra = None
    try:
        try:
            with initialize_config_dir(str(conf_folder()), version_base="1.3"):
                made = compose("train", [] if config is not None else overrides, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            whole.hydra = None
            say_nearest("train", overrides)
            raise UserError(" ".join(f"{error} {error.__cause__ or ''}".split())) from None
        chosen.set_config(made)
        if config is not None:
            made = changed(config, overrides, output)
        OmegaConf.set_readonly(made, False)
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):  # the checks compare with what is usual
            yield made
    finally:
        chosen.cfg, whole.hydra = before


def changed(config: Any, overrides: list[str], output: Path | None) -> Any:
    """A whole configuration with changes. Raises UserError where there is none, or no run's folder in it."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        made = OmegaConf.load(config) if isinstance(config, (str, os.PathLike)) else OmegaConf.create(config)
        made = OmegaConf.merge(made, OmegaConf.from_dotlist(overrides))
    except (OSError, ValueError, OmegaConfBaseException) as error:
        raise UserError(f"config: {' '.join(str(error).split())[:300]}") from None
    if output is not None:
        made.output = str(output)
    if "hydra:" in str(made._get_node("name")):
        made.name = Path(made.output).name if output is not None else "run"
    return made
