"""Weights and words of a model that training goes on from."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.decoders.retrieval import without_retrieval
from captioning.encoders.base import Encoder
from captioning.encoders.side_by_side import SideBySide
from captioning.errors import UserError
from captioning.models.eight_bit import restored
from captioning.models.former_names import current_keys
from captioning.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Start:
    """What a bundle or a checkpoint brings to a new run."""

    path: Path
    vocabulary: Vocabulary
    weights: dict[str, Tensor]  # encoder.* and decoder.*

    def fill(self, part: str, module: nn.Module) -> None:
        """Puts the weights of `part`, encoder or decoder, in. Raises UserError naming the first that does not fit."""
        own = module.state_dict()
        theirs = {name[len(part) + 1 :]: t for name, t in self.weights.items() if name.startswith(f"{part}.")}
        theirs = {name: theirs[written] for name, written in current_keys(theirs, own).items()}
        for name in (*own, *theirs):
            there, here = (list(weights[name].shape) if name in weights else "absent" for weights in (theirs, own))
            if there != here:
                raise UserError(
                    f"start={self.path}: {part}.{name} is {there} there and {here} here: "
                    f"give the {part} options that it was trained with"
                )
        module.load_state_dict(theirs)

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


def read_start(path: str | Path) -> Start:
    """A bundle's folder or a checkpoint of `captioning train`. Raises UserError naming what is wrong with it."""
    path = Path(path)
    if path.is_dir():
        vocabulary = Vocabulary.load(path / "vocabulary.json")
        try:
            return Start(path, vocabulary, without_retrieval(restored(load_file(path / "weights.safetensors"))))
        except (OSError, SafetensorError) as error:
            raise UserError(f"start={path}: weights.safetensors cannot be read: {error}") from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        words, state = content["vocabulary"], content["state_dict"]
    except FileNotFoundError:
        raise UserError(f"start={path}: no such model folder or checkpoint") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"start={path} is not a checkpoint of captioning train, take its model folder: {reason}"
        ) from None
    return Start(path, Vocabulary(words["words"], max_words=words["max_words"]), state)
