"""Hydra's side of the command line: where conf/ is, and one verb run under it."""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioning.errors import UserError
from captioning.files.system_errors import in_words
from captioning.files.terminal import harmless

if TYPE_CHECKING:
    from omegaconf import DictConfig

VERBS = {
    "train": "captioning.commands.train",
    "evaluate": "captioning.commands.evaluate",
    "extract": "captioning.commands.extract",
    "remember": "captioning.commands.remember",
    "regions": "captioning.commands.regions",
}

CLUSTER = ("--cluster", "--address", "--actors", "--cpus", "--gpus")
SHARDS = re.compile(r"\{\d+\.\.\d+\}")  # {000..099}, which Hydra would take for a mapping
WITH_A_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p", "--cfg", "-c",
                "--info", "-i")  # flags of Hydra's, with what follows them  # fmt: skip


def conf_folder() -> Path:
    """conf/ of an installed package, or of the checkout that is being worked in."""
    package = Path(__file__).parent.parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"the configuration files are missing: neither {package}/conf nor {package.parent}/conf has them")


def run(verb: str, overrides: list[str]) -> int:
    """Composes conf/VERB.yaml with `overrides` and calls the verb with it and the run's folder. -> exit status.

    Understands all of Hydra's own flags, `-m` for a sweep and `--cfg job` among them. What is wrong with the
    configuration is said in a line or two on stderr and is status 2; a bug ends in a traceback and is status 1.
    """
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import CompactHydraException, HydraException, InstantiationException
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    statuses: list[int] = []
    sweep: list[Path] = []
    program = sys.argv[0]

    def job(config: DictConfig) -> None:
        statuses.append(1)
        # what Lightning starts again for each further device
        sys.argv = [program, verb, *overrides_given()]
        if HydraConfig.get().mode is RunMode.MULTIRUN:
            sweep.append(Path(HydraConfig.get().runtime.output_dir))
        try:
            prepare(verb, config)
            statuses[-1] = import_module(VERBS[verb]).run(config, Path(HydraConfig.get().runtime.output_dir))
            if sweep and statuses[-1] > 128:  # told to end by a signal, and with it the sweep
                raise SystemExit(statuses[-1])
        except UserError as error:
            statuses[-1] = failed(error)
        except OSError as error:
            statuses[-1] = refused(error)
        except (InstantiationException, OmegaConfBaseException) as error:
            if isinstance(error.__cause__, OSError) and in_words(error.__cause__):
                statuses[-1] = refused(error.__cause__)
                return
            statuses[-1] = failed(error.__cause__ if isinstance(error.__cause__, UserError) else error)

    OmegaConf.register_new_resolver("folder_name", folder_name, replace=True)
    if verb in ("evaluate", "extract"):
        overrides = as_keys(overrides)
    if word := lone_word(overrides):
        print(
            f"captioning: {verb} takes KEY=VALUE, and {word!r} is none: see captioning {verb} --help", file=sys.stderr
        )
        return 2
    overrides = [usual_name(text) for text in overrides]
    sys.argv = [f"captioning {verb}", *overrides]
    if any(text.partition("=")[0] in ("--info", "-i") for text in overrides):
        logging.getLogger().handlers.clear()  # Hydra gives this logger one that prints what it is asked for
    try:
        with errors_as_they_are():
            hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=verb)(job)()
    except CompactHydraException as error:  # what is wrong with the overrides, as Hydra says it
        cause = [error.__cause__] if isinstance(error.__cause__, OmegaConfBaseException) else []
        print(error, *cause, sep="\n", file=sys.stderr)
        if not statuses:
            say_nearest(verb, overrides)
        return max(statuses, default=2)
    except BrokenPipeError:
        raise
    except OSError as error:  # Hydra's own first writes, into the run's folder
        if in_words(error) is None:
            traceback.print_exc()
            return 1
        return refused(error)
    except SystemExit as stop:  # Hydra has printed what is wrong with the overrides, or the traceback of a bug
        if stop.code and not statuses:
            say_nearest(verb, overrides)
        if stop.code:
            return max(statuses, default=2)
    except (HydraException, OmegaConfBaseException) as error:
        return failed(error)
    except Exception:
        traceback.print_exc()
        return 1
    if verb == "train" and sweep:
        import_module("captioning.training.summary").finish_sweep(sweep)
    return max(statuses, default=0)


def prepare(verb: str, config: DictConfig) -> None:
    """Checks a composed configuration, and completes it. Raises UserError for a key or a value that has no sense."""
    from captioning.commands.known_keys import check_keys

    check_keys(verb, config)
    check_types(verb, config)
    if verb == "train" or config.get("allow"):  # classes of the user's own; never because a model names them
        sys.path.append(os.getcwd())
    if config.get("concepts"):
        import_module("captioning.commands.concepts").apply(config)


def as_keys(overrides: list[str]) -> list[str]:
    """`--cluster ray`, as `captioning caption` takes it, as cluster=ray; the other flags of clusters likewise."""
    found, texts = [], iter(overrides)
    for text in texts:
        flag, equals, value = text.partition("=")
        if flag in CLUSTER:
            value = value if equals else next(texts, "")
            text = f"{flag[2:]}={value}"
        found.append(text)
    return found


def lone_word(overrides: list[str]) -> str | None:
    """The first word that is neither KEY=VALUE, ~KEY, a flag nor what follows one."""
    for before, text in zip(["", *overrides], overrides, strict=False):
        if "=" not in text and not text.startswith(("-", "~")) and before not in WITH_A_VALUE:
            return text
    return None


def usual_name(text: str) -> str:
    """An override as Hydra understands it. Experiments of a benchmark are in a folder of its own, and are called by
    its name and theirs: experiment=coco_up_down. No logger is the empty one. Shards are counted in braces."""
    key, _, value = text.partition("=")
    if SHARDS.search(value) and value[0] not in "'\"[":
        return f"{key}='{value}'"
    if key in ("+trainer.strategy", "+trainer.num_nodes"):  # which were no keys once
        return text[1:]
    if key.lstrip("+") == "experiment":
        return f"{key}={','.join(map(experiment_file, value.split(',')))}"
    return {"logger=null": "logger=csv", "callbacks=null": "callbacks=[]"}.get(text, text)


def experiment_file(name: str) -> str:
    """The place in conf/experiment/ of an experiment: coco/up_down for coco_up_down."""
    folder, inside = conf_folder() / "experiment", name.replace("_", "/", 1)
    return inside if not (folder / f"{name}.yaml").is_file() and (folder / f"{inside}.yaml").is_file() else name


def experiments() -> dict[str, Path]:
    """What every experiment is called on the command line, and its file."""
    folder = conf_folder() / "experiment"
    files = sorted(folder.rglob("*.yaml"))
    return {"_".join(path.relative_to(folder).with_suffix("").parts): path for path in files}


def groups_of(folder: Path) -> dict[str, list[str]]:
    """The groups of the configuration, and the names in each: {"decoder": ["fc", ...], ...}."""
    return {
        group.name: sorted(path.relative_to(group).with_suffix("").as_posix() for path in group.rglob("*.yaml"))
        for group in sorted(folder.iterdir())
        if group.is_dir()
    }


def say_nearest(verb: str, overrides: list[str]) -> None:
    """What was meant, where Hydra has said that there is no such key or no such name in a group."""
    from hydra import initialize_config_dir

    from captioning.commands.known_keys import nearest

    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        given = [text for text in overrides if not text.startswith("-")]
        groups = groups_of(conf_folder())
        groups["experiment"] = [*groups["experiment"], *experiments()]
        found = nearest(verb, given, groups)
    for sentence in found:
        print(f"captioning: {sentence}", file=sys.stderr)


def folder_name(model: str) -> str:
    """What a folder about a model is called: each model's own, `runs/mine/model` and `runs/mine` being one."""
    path = os.path.normpath(model)
    if os.path.exists(path):
        path = os.path.relpath(os.path.realpath(path))
        path = os.path.realpath(model) if path.startswith(os.pardir) else path
    parts = [part for part in Path(path).parts if part != os.sep]
    if len(parts) > 1 and parts[-1] == "model":
        parts.pop()
    return re.sub(r"[^\w.+-]+", "-", "-".join(parts)).strip("-.") or "model"


@contextmanager
def errors_as_they_are() -> Iterator[None]:
    """Has Hydra pass on what it would print with a traceback: a full disk is no bug."""
    former = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if former is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = former


def refused(error: OSError) -> int:
    """Says what the system refused. -> exit status 1; raises the error where it is likelier a bug."""
    said = in_words(error, otherwise="a file of the run")
    if said is None:
        raise error
    print(f"captioning: {said}", file=sys.stderr)
    return 1


def check_types(verb: str, config: DictConfig) -> None:
    """Raises UserError where an override puts a word for a number, a number for a list, or the like."""
    from hydra import compose
    from hydra.core.hydra_config import HydraConfig
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import OverrideType
    from omegaconf import OmegaConf

    given = overrides_given()
    choices = HydraConfig.get().runtime.choices
    parsed = OverridesParser.create().parse_overrides(given)
    groups = [text for text, override in zip(given, parsed, strict=True) if override.get_key_element() in choices]
    changes = [
        override.key_or_group
        for override in parsed
        if override.type is OverrideType.CHANGE
        and override.get_key_element() not in choices
        and not override.key_or_group.startswith("trainer.")  # of which many may be of several types; Lightning checks
    ]
    if not changes:
        return
    standard = OmegaConf.to_container(compose(verb, overrides=groups), resolve=False)
    for name in changes:
        usual, value = standard, OmegaConf.select(config, name)
        for key in name.split("."):
            usual = usual.get(key) if isinstance(usual, dict) else None
        if not fits(value, usual):
            raise UserError(f"{name}={value}: that should be like {name}={usual}")


def overrides_given() -> list[str]:
    """The overrides of this run as they were typed: `${...}` in them is of the run's configuration, not of Hydra's."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    return OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)


def fits(value: Any, usual: Any) -> bool:
    """Whether a value is of the type of the usual one. None fits always, and text may stand for anything."""
    from omegaconf import ListConfig

    if value is None or usual is None or isinstance(usual, str):
        return True
    if isinstance(usual, bool) or isinstance(value, bool):
        return isinstance(usual, bool) and isinstance(value, bool)
    if isinstance(usual, float):
        return isinstance(value, (int, float))
    if isinstance(usual, list):
        return isinstance(value, ListConfig)
    return not isinstance(usual, int) or isinstance(value, int)


def failed(error: Exception) -> int:
    """Says in one line what is wrong with a configuration. -> exit status."""
    from omegaconf.errors import MissingMandatoryValue

    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, MissingMandatoryValue):
        lines = [f"{error.full_key} has no value: add {error.full_key}=..."]
    print(f"captioning: {harmless(' '.join(lines[:2]))}", file=sys.stderr)
    return 2
