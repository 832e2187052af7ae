"""Weights and words of a model that training goes on from."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.decoders.concept_retrieval import without_captions
from captioning.decoders.concepts import ConceptReader
from captioning.decoders.domain_gate import without_gate
from captioning.decoders.retrieval import without_retrieval
from captioning.encoders.base import Encoder
from captioning.encoders.concepts import ConceptEncoder
from captioning.encoders.side_by_side import SideBySide
from captioning.errors import UserError
from captioning.files.annotations import read_text
from captioning.models.bundle import whole_weights
from captioning.models.former_names import current_keys
from captioning.models.shipped import find_model
from captioning.tasks.load import find_bundle, has_changes, is_of_hub


@dataclass(frozen=True)
class Start:
    """What a bundle or a checkpoint brings to a new run."""

    path: Path
    texts: dict[str, str]  # the task's own plain files
    weights: dict[str, Tensor]  # encoder.* and task.*

    def fill(self, part: str, module: nn.Module) -> None:
        """Puts the weights of `part`, encoder or task, in; what a task calls `fresh` may stay as it is.

        A buffer that is still empty takes whatever shape the start has for it. Raises UserError naming the first that
        does not fit.
        """
        own = {f"{part}.{name}": tensor for name, tensor in module.state_dict().items()}
        names = {new: old for new, old in current_keys(self.weights, own).items() if new.startswith(f"{part}.")}
        theirs = {new: self.weights[old] for new, old in names.items()}
        fresh = tuple(f"{part}.{beginning}" for beginning in getattr(module, "fresh", ()))
        theirs |= {name: tensor for name, tensor in own.items() if name not in theirs and name.startswith(fresh)}
        for name in (*own, *theirs):
            if name in theirs and name in own and not own[name].numel():
                continue
            there, here = (list(weights[name].shape) if name in weights else "absent" for weights in (theirs, own))
            if there != here:
                name = name.removeprefix("task.")
                group = name.split(".")[0]
                own_part = f", or {group}=of_start" if group in ("encoder", "decoder") else ""
                raise UserError(
                    f"start={self.path}: {name} is {there} there and {here} here: "
                    f"give the {group} options that it was trained with{own_part}"
                )
        module.load_state_dict({name.removeprefix(f"{part}."): tensor for name, tensor in theirs.items()})

    def with_words(self, before: int, module: nn.Module) -> Start:
        """The start for a task that has learned words behind the `before` that this model has.

        What has a row for each word gets new ones: the mean of those there, and as much chance as a fresh layer has,
        so that a new word is at first as likely as words are in the mean, and no two are the same.
        """
        own = {f"task.{name}": tensor for name, tensor in module.state_dict().items()}
        weights = {new: self.weights[old] for new, old in current_keys(self.weights, own).items()}
        for name, fresh in own.items():
            there = weights.get(name)
            if there is None or there.shape == fresh.shape or not there.is_floating_point():
                continue
            if there.dim() == fresh.dim() and len(there) == before and there.shape[1:] == fresh.shape[1:]:
                there, more = there.float(), fresh[before:].float()
                weights[name] = torch.cat([there, there[4:].mean(0) + more - fresh[4:].float().mean(0)])
        return replace(self, weights=weights)

    @torch.no_grad()
    def average_into(self, module: nn.Module, share: float) -> None:
        """Moves the weights of a task by `share`, 0 to 1, towards those of this model (Wortsman et al. 2022,
        arXiv:2109.01903). What this model has no counterpart of stays, such as rows of words that it does not know.
        """
        own = {f"task.{name}": tensor for name, tensor in module.state_dict().items()}
        for name, former in current_keys(self.weights, own).items():
            here, there = own.get(name), self.weights[former]
            if here is None or not here.is_floating_point() or here.dim() != there.dim():
                continue
            rows_more = here.dim() > 0 and here.shape[1:] == there.shape[1:] and len(here) > len(there)
            if here.shape == there.shape or rows_more:
                (here[: len(there)] if rows_more else here).lerp_(there.to(here), share)

    def with_concepts(self, encoder: Encoder, task: nn.Module) -> Start:
        """The start for an encoder and a decoder of concepts, which this model has none of: those are fresh.

        The decoder inside is that of this model. Any other encoder or start leaves it as it is.
        """
        names = current_keys(self.weights, ())
        decoder = getattr(task, "decoder", None)
        if not isinstance(encoder, ConceptEncoder) or not isinstance(decoder, ConceptReader):
            return self
        if any(name.startswith(f"encoder.{part}.") for name in names for part in ("detector", "classifier")):
            return self
        weights = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
        weights |= {f"task.decoder.{name}": tensor for name, tensor in decoder.state_dict().items()}
        for name, former in names.items():
            part = next((part for part in ("encoder.", "task.decoder.") if name.startswith(part)), "")
            inside = part.rpartition("task.")[2]  # what the part within is called, too
            weights[f"{part}{inside}{name.removeprefix(part)}"] = self.weights[former]
        return replace(self, weights=weights)

    def seeing_more(self, encoder: Encoder) -> Start:
        """The start for an encoder whose first backbone alone is that of this model: the further ones are added.

        The decoder hears nothing of them at first: what it multiplies with their channels is zero (a norm's scale,
        one). Any other encoder leaves the start as it is.
        """
        if not isinstance(encoder, SideBySide) or any(name.startswith("encoder.encoders.") for name in self.weights):
            return self
        narrow, more = encoder.encoders[0].width, encoder.width - encoder.encoders[0].width
        weights = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
        for name, tensor in self.weights.items():
            if name.startswith("encoder."):
                name = f"encoder.encoders.0.{name.removeprefix('encoder.')}"
            elif tensor.dim() and tensor.shape[-1] == narrow:
                scale = tensor.dim() == 1 and name.endswith(".weight")
                tensor = F.pad(tensor, (0, more), value=1.0 if scale else 0.0)
            weights[name] = tensor
        return replace(self, weights=weights)


def found_start(start: str | Path) -> Path:
    """The checkpoint or the model's folder that `start` means: a path, or the name of a run or of a shipped model."""
    path = Path(start)
    if path.is_file() or (path / "weights.safetensors").is_file():
        return path
    try:
        return find_model(start)
    except UserError as error:
        raise UserError(f"start={start}: no such model folder or checkpoint; {error}") from None


def read_start(path: str | Path) -> Start:
    """A model's name or folder, or a checkpoint of `captioning train`. Raises UserError naming what is wrong."""
    if is_of_hub(path) or has_changes(path):
        bundle = find_bundle(path)
        parts = {"encoder": bundle.encoder, "task": bundle.task}
        weights = {f"{part}.{name}": w for part, module in parts.items() for name, w in module.state_dict().items()}
        return Start(Path(path), bundle.task.texts(), weights)
    path = found_start(path)
    if path.is_dir():
        try:
            names = [file.name for file in path.glob("*.json") if file.is_file()]
            texts = {name: read_text(path / name) for name in names}
            weights = whole_weights(path)
            return Start(path, texts, without_captions(without_retrieval(without_gate(weights))))
        except (OSError, SafetensorError) as error:
            raise UserError(f"start={path}: weights.safetensors cannot be read: {error}") from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        texts = content.get("task") or {"vocabulary.json": json.dumps(content["vocabulary"])}  # as it was once kept
        state = content["state_dict"]
    except FileNotFoundError:
        raise UserError(f"start={path}: no such model folder or checkpoint") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"start={path} is not a checkpoint of captioning train, take its model folder: {reason}"
        ) from None
    return Start(path, texts, state)
