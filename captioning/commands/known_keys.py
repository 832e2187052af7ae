"""Which keys a configuration may have: whatever nothing reads is refused, with the nearest key that something does."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from captioning.errors import UserError
from captioning.tasks.captioning.options import RERANKING

SPECIAL = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")
OF_A_SPLIT = ("split",)  # data.split says which of a source, and is no option of the source


def check_keys(verb: str, config: Any) -> None:
    """Raises UserError naming the first key of a verb's composed configuration that nothing reads, and the nearest."""
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    content = OmegaConf.to_container(config, resolve=False)
    groups = {key.partition("@")[0] for key in HydraConfig.get().runtime.choices if "/" not in key}
    known = {**standard(verb), **dict.fromkeys(groups)}
    text = str(content)
    for key in content:
        if key not in known and f"${{{key}" not in text:  # a name that other keys refer to is one's own business
            raise UserError(unknown(key, known))
    for key, value in content.items():
        if verb == "evaluate" and key == "generation":
            value = {name: part for name, part in value.items() if name not in RERANKING}
        if key == "then" and isinstance(value, dict):
            for inner, part in value.items():
                if inner not in known:
                    raise UserError(unknown(f"then.{inner}", known))
                check_part(f"then.{inner}", part if "_target_" in str(part) else None)
        elif key not in ("callbacks", "logger", "hydra"):  # which name classes of their own, one by one
            check_part(key, value)
            if isinstance(value, dict) and "_target_" not in value and isinstance(known.get(key), dict):
                for inner in value:
                    if inner not in known[key] and "_target_" not in str(value):
                        raise UserError(unknown(f"{key}.{inner}", known[key]))


def check_part(where: str, value: Any) -> None:
    """Raises UserError for a keyword that the class or function named there, at any depth, does not take."""
    for place, part in parts(where, value):
        takes = keywords(part["_target_"])
        for name in part:
            if takes is not None and name not in takes and name not in (*SPECIAL, *OF_A_SPLIT):
                kind = str(part["_target_"]).rpartition(".")[2]
                raise UserError(f"{unknown(f'{place}.{name}', takes)} ({kind} takes {', '.join(takes)})")


def parts(where: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a `_target_`, and where it is."""
    if isinstance(value, Mapping):
        if isinstance(value.get("_target_"), str):
            yield where, value
        for name, inner in value.items():
            yield from parts(f"{where}.{name}", inner)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from parts(f"{where}[{i}]", inner)


def keywords(target: str) -> list[str] | None:
    """The keywords that a class or function takes; None where it takes any, or cannot be found: whoever makes it says
    what is wrong with it."""
    from hydra.utils import get_object

    try:
        takes = inspect.signature(get_object(target)).parameters.values()
    except Exception:  # somebody's own module may raise anything
        return None
    if any(one.kind is one.VAR_KEYWORD for one in takes):
        return None
    return [one.name for one in takes if one.kind is not one.VAR_POSITIONAL]


def unknown(key: str, known: Iterable[str]) -> str:
    """What is said of a key that is not there: "there is no bath_size. Did you mean batch_size?"."""
    place, _, name = key.rpartition(".")
    near = difflib.get_close_matches(name, [one.rpartition(".")[2] for one in known], 1, 0.5)
    meant = f" Did you mean {place}.{near[0]}?".replace(" .", " ") if near else ""
    return f"there is no {key}.{meant}"


def standard(verb: str, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """A verb's configuration as it is without anybody's overrides, or with these."""
    from hydra import compose
    from omegaconf import OmegaConf

    return OmegaConf.to_container(compose(verb, overrides=list(overrides)), resolve=False)


def nearest(verb: str, overrides: Iterable[str], groups: Mapping[str, Iterable[str]]) -> list[str]:
    """What was meant by overrides that are not there, as sentences; those that are have none.

    `groups`: the names in each group of the configuration.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    found, chosen, keys = [], [], []
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException:
            continue
        key, group = override.key_or_group, override.key_or_group.partition("@")[0]
        if group in groups:
            value = override.value()
            asked = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
            absent = [choice(key, one, groups[group]) for one in asked if one not in groups[group]]
            found += absent
            chosen += [] if absent or override.is_sweep_override() else [text]
        elif not (override.is_add() or override.is_force_add() or override.is_delete()):
            keys.append(key)
    try:  # a task, a decoder or an encoder that was chosen has keys of its own
        known = standard(verb, chosen)
    except Exception:  # what cannot be composed is said by whoever composes it
        known = standard(verb)
    return found + [one for key in keys for one in missing({**dict.fromkeys(groups), **known}, key)]


def choice(group: str, name: str, names: Iterable[str]) -> str:
    """What is said of a name that a group does not have."""
    near = difflib.get_close_matches(name, list(names), 1, 0.5)
    return f"there is no {group}={name}." + (f" Did you mean {group}={near[0]}?" if near else "")


def missing(known: Any, key: str) -> list[str]:
    """What was meant by a key that a configuration with the `known` ones does not have."""
    way = ""
    for name in key.split("."):
        if not isinstance(known, Mapping):
            return []
        if name not in known:
            return [unknown(f"{way}{name}", [f"{way}{one}" for one in known])]
        known, way = known[name], f"{way}{name}."
    return []
