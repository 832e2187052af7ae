"""What a run that starts from a model takes over of it: encoder, decoder and search, unless told otherwise."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from captioning.decoders.concept_retrieval import ConceptRetrievalDecoder
from captioning.decoders.domain_gate import DomainGate
from captioning.decoders.retrieval import RetrievalDecoder
from captioning.encoders.base import architecture
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.consensus import beam_options, consensus
from captioning.models.bundle import CAPTIONING, target, whole_config
from captioning.models.shipped import find_model
from captioning.models.untrusted import TRUSTED, trusted_part
from captioning.tasks.load import find_bundle, is_of_hub


def adopt_parts(config: DictConfig, told: Iterable[str], chosen: Iterable[str]) -> list[str]:
    """Puts the parts of the model that `config.start` names in the place of conf/'s, in `config`.

    `told` are the overrides of the command line as KEY=VALUE, which stay in force; a part that is in `chosen`, being
    of a group that was named, is left as it is. -> what was taken and what is dropped, as sentences. Raises UserError
    for a model whose parts are not this package's.
    """
    if {"encoder", "decoder", "generation"} <= set(chosen):
        return []
    parts = parts_of(config.start)
    task = parts["task"]
    if task["_target_"] != CAPTIONING or config.task.get("_target_") != CAPTIONING:
        return []
    theirs = {"encoder": architecture(parts["encoder"]), "decoder": task["decoder"], "generation": task["generation"]}
    said, taken = [], []
    theirs["decoder"] = without_memory(task["decoder"])
    if theirs["decoder"] is not task["decoder"]:
        said.append(f"what {config.start} remembers is dropped: captioning remember makes another memory")
    if theirs["generation"].get("_target_") == target(consensus):
        theirs["generation"] = beam_options(theirs["generation"]) | {"_target_": target(beam)}
        said.append("without a memory the best caption of the beam is said: generation=beam")
    with open_dict(config):
        for name, part in theirs.items():
            if name in chosen:
                continue
            require_trusted(part, f"start={config.start}")
            config[name] = OmegaConf.create(without_weights(part) if name == "encoder" else part)
            for override in told:
                key, _, value = override.lstrip("+").partition("=")
                if key.startswith(f"{name}."):
                    OmegaConf.update(config, key, OmegaConf.from_dotlist([f"x={value}"]).x, force_add=True)
            taken.append(name)
    if taken:
        said.insert(0, f"{', '.join(taken)} and words are those of {config.start}")
    return said


def adopt_named_parts(config: DictConfig) -> None:
    """Puts the start's own encoder and decoder in where `config` says `of_start`, with what else it says there.

    Raises UserError where there is no start, or it has no such part.
    """
    wanted = [part for part in ("encoder", "decoder") if config.get(part) and config[part].get("of_start")]
    if not wanted:
        return
    if not config.start:
        raise UserError(f"{wanted[0]}=of_start is the {wanted[0]} of a finished model: name one with start=MODEL")
    parts = parts_of(config.start)
    decoder = parts["task"].get("decoder")
    theirs = {
        "encoder": without_weights(architecture(parts["encoder"])),
        "decoder": decoder and without_memory(decoder),
    }
    for part in wanted:
        if theirs[part] is None:
            raise UserError(f"start={config.start} has no {part}")
        require_trusted(theirs[part], f"start={config.start}")
        own = {name: value for name, value in config[part].items() if name != "of_start" and value is not None}
        with open_dict(config):
            config[part] = {**theirs[part], **own}


def parts_of(start: str | Path) -> dict[str, Any]:
    """The configuration of a model, one of the model hub among them: encoder and task."""
    if is_of_hub(start):
        bundle = find_bundle(start)
        bundle.task.texts()  # raises where it is used as it is, and has nothing that a run could go on with
        return {"encoder": bundle.encoder_config, "task": bundle.task.config()}
    return whole_config(find_model(start))


def require_trusted(part: Any, where: str) -> None:
    """Raises UserError unless every class and function that a model names is this package's, and nothing else is
    asked for: a run builds what it takes over with no further question."""
    if isinstance(part, list):
        for value in part:
            require_trusted(value, where)
    elif isinstance(part, str) and "${" in part:
        raise UserError(f"{where}: {part!r}: a model may not refer to anything outside itself")
    elif isinstance(part, Mapping):
        if "_target_" in part:
            trusted_part(part["_target_"], TRUSTED)
        if meddling := {"_args_", "_recursive_"} & set(part):
            raise UserError(f"{where}: {meddling.pop()} has no place in a model")
        for value in part.values():
            require_trusted(value, where)


def without_memory(decoder: dict[str, Any]) -> dict[str, Any]:
    """The configuration of the decoder inside those that remember photos or captions, whose weights a start leaves."""
    remembers = [target(part) for part in (DomainGate, RetrievalDecoder, ConceptRetrievalDecoder)]
    while decoder.get("_target_") in remembers:
        decoder = decoder["decoder"]
    return decoder


def without_weights(part: Any) -> Any:
    """An encoder's configuration whose backbones get no weights: those of the start are filled in."""
    if isinstance(part, list):
        return [without_weights(value) for value in part]
    if not isinstance(part, Mapping):
        return part
    inside = {key: without_weights(value) for key, value in part.items()}
    takes = inspect.signature(trusted_part(part["_target_"], TRUSTED)).parameters if "_target_" in part else {}
    return {**inside, "weights": "none"} if "weights" in takes else inside


def is_model(start: str | Path) -> bool:
    """Whether `start` names a model; a checkpoint has words and weights only."""
    return not Path(start).is_file()
