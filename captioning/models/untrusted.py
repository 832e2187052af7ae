"""What a stranger's configuration may build: parts of a model, of trusted packages, without files and network."""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn

from captioning.decoders.base import Decoder
from captioning.encoders.base import Encoder
from captioning.errors import UserError

TRUSTED = tuple(f"captioning.{room}" for room in ("encoders", "decoders", "heads", "generation", "tasks"))
ROOMS = {Encoder: "captioning.encoders", Decoder: "captioning.decoders"}  # where parts of these kinds are defined
FORCED = {"weights": "none", "file": None, "finetune": False}  # whatever a model says, of every part of it


def build(
    config: Any,
    trusted: Sequence[str],
    *,
    kind: type = object,
    otherwise: Mapping[str, Any] | None = None,
    **given: Any,
) -> Any:
    """What untrusted `config` describes by `_target_` and keywords, nested ones too; plain data stays what it is.

    `kind` is the class that the outermost must be of; `given` goes to every part that takes it, whatever `config` says,
    and `otherwise` where `config` says nothing. Raises UserError for anything but a class defined in a trusted package.
    """
    if isinstance(config, list):
        return [build(value, trusted, otherwise=otherwise, **given) for value in config]
    if isinstance(config, str) and "${" in config:
        raise UserError(f"{config!r}: a model may not refer to anything outside itself")
    if not isinstance(config, dict):
        return config
    plain = {key: value for key, value in config.items() if key not in ("_target_", "_convert_")}
    keywords = {key: build(value, trusted, otherwise=otherwise, **given) for key, value in plain.items()}
    if "_target_" not in config and kind is object:
        return keywords
    meddling = {"_args_", "_partial_", "_recursive_"} & set(keywords)
    if meddling:
        raise UserError(f"{meddling.pop()} has no place in a model")
    found = trusted_part(config.get("_target_"), trusted)
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise UserError(f"{config['_target_']} is not a part of a model, or not the one that stands there")
    takes = keywords_of(found)
    defaults, given = ({key: v for key, v in part.items() if key in takes} for part in (otherwise or {}, given))
    return found(**defaults | keywords | given)


def bare_task(config: Mapping[str, Any], trusted: Sequence[str]) -> nn.Module:
    """The task that untrusted `config` describes, its parts still configurations. Raises UserError."""
    found = trusted_part(config.get("_target_"), trusted)
    if not (isinstance(found, type) and issubclass(found, nn.Module) and hasattr(found, "read_texts")):
        raise UserError(f"{config['_target_']} is no task")
    keywords = {key: value for key, value in config.items() if key not in ("_target_", "_convert_")}
    try:
        inspect.signature(found).bind(**keywords)
    except TypeError as error:
        raise UserError(f"{config['_target_']} is not what this version knows: {error}") from None
    return found(**keywords)


def build_part(trusted: Sequence[str], config: Any, kind: type = object, **sizes: Any) -> Any:
    """A part of a task from untrusted `config`, or a search where `kind` is Callable. `sizes` are for every part that
    takes one and says none."""
    if not isinstance(config, dict):
        raise UserError(f"{config!r} stands where a part of a model is described")
    if kind is Callable:
        return build_generation(config, trusted)
    return build(config, rooms(kind, trusted), kind=kind, otherwise=sizes, **FORCED)


def build_generation(config: dict[str, Any], trusted: Sequence[str]) -> Callable:
    """The function that untrusted `config` names, its keywords filled in: plain values and nothing else.

    Raises UserError unless it is a search.
    """
    keywords = {key: value for key, value in config.items() if key[:1] != "_"}
    for key, value in keywords.items():
        if not _is_plain(value) or (key == "constraints" and value):
            raise UserError(f"generation.{key} is {str(value)[:60]}: a model brings plain values alone")
    found = trusted_part(config.get("_target_"), trusted)
    try:
        if not inspect.isfunction(found):
            raise TypeError("it is not a function")
        names = inspect.signature(found).bind("decoder", "context", **{"max_words": 1, **keywords, "details": False})
        if list(names.arguments)[:2] != ["decoder", "context"]:
            raise TypeError("it does not take a decoder and a context")
    except TypeError as error:
        raise UserError(f"{config['_target_']} is not a way of generating captions: {error}") from None
    return partial(found, **keywords)


def _is_plain(value: Any) -> bool:
    """Whether something is a value, or a list of values or of such lists."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or (isinstance(value, (bool, int, float, str)) and "${" not in str(value))


def rooms(kind: type, trusted: Sequence[str]) -> Sequence[str]:
    """Those of the trusted packages in which a part of a kind, and all that it is made of, may be defined."""
    own = next((room for base, room in ROOMS.items() if issubclass(kind, base)), None)
    return trusted if own is None else [package for package in trusted if package not in TRUSTED or package == own]


def keywords_of(part: type) -> set[str]:
    """Every keyword that a class takes, those that it passes on to the classes above it included."""
    names: set[str] = set()
    for base in part.__mro__:
        if base is part or "__init__" in vars(base):
            parameters = inspect.signature(base).parameters.values()
            names |= {one.name for one in parameters}
            if not any(one.kind is one.VAR_KEYWORD for one in parameters):
                break
    return names


def trusted_part(target: Any, trusted: Sequence[str]) -> Any:
    """The class or function that `target` names, if a trusted package defines it. Raises UserError if not."""

    def inside(name: str) -> bool:
        return any(name == package or name.startswith(f"{package}.") for package in trusted)

    if not (isinstance(target, str) and inside(target) and all(part.isidentifier() for part in target.split("."))):
        raise UserError(f"the model wants to build {target!r}. If you trust its package: load(..., allow=[...])")
    module, _, name = target.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise UserError(f"the model needs {target}, which this installation does not have") from None
    if not inside(str(getattr(found, "__module__", ""))):  # os.system is there by any module's `import os`
        raise UserError(f"the model wants to build {target}, which is not defined there")
    return found


@contextmanager
def limited_to(numbers: int) -> Iterator[None]:
    """Refuses layers that hold more than so many numbers, as soon as one asks for them and before they are filled."""
    built, thread = 0, threading.get_ident()

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal built
        if parameter is None or threading.get_ident() != thread:
            return
        built += parameter.numel()
        if built > numbers:
            raise UserError("it describes a far larger model than weights.safetensors holds: copy the folder again")

    handle = nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
