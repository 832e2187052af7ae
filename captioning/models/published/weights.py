"""Weights under the names of others, and how they become a decoder's: rows of words, folded norms, gates."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from captioning.decoders.base import Decoder
from captioning.errors import UserError
from captioning.models.published.pickles import one_line, read_whole_checkpoint
from captioning.text.vocabulary import BOS, EOS, UNK

NEVER_SAID = -100.0  # the bias of a word that the model cannot say: no probability, and label smoothing can bear it


class Weights:
    """The named tensors of a file, each to be used, by a name that a message can give back."""

    def __init__(self, tensors: Mapping[str, Tensor], path: Path):
        self.tensors = {name: tensor.detach().float() for name, tensor in tensors.items()}
        self.path, self.used = path, set[str]()

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def __getitem__(self, name: str) -> Tensor:
        """Raises UserError where there is none of that name."""
        if name not in self.tensors:
            raise UserError(f"{self.path} has no weights called {name}: it is of another kind than it seemed")
        self.used.add(name)
        return self.tensors[name]

    def linear(self, name: str) -> tuple[Tensor, Tensor]:
        """weight (O, I) and bias (O), zero where there is none."""
        weight = self[f"{name}.weight"]
        bias = self[f"{name}.bias"] if f"{name}.bias" in self else weight.new_zeros(len(weight))
        return weight, bias

    def layers(self, pattern: str) -> int:
        """How many there are of a name with {} for the number."""
        count = 0
        while any(name.startswith(pattern.format(count)) for name in self.tensors):
            count += 1
        return count

    def ignore(self, *endings: str) -> None:
        """Those whose names end so are of no use."""
        self.used |= {name for name in self.tensors if name.endswith(endings)}

    def finish(self) -> None:
        """Raises UserError where something was left over: the model does more than was understood."""
        left = [name for name in self.tensors if name not in self.used]
        if left:
            raise UserError(f"{self.path} has {len(left)} weights without a place here, the first is {left[0]}")


def read_tensors(path: Path) -> Any:
    """What a .safetensors, .pth or .tar file holds, of which nothing is run: tensors, or dicts and records of them."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (pickle.UnpicklingError, RuntimeError, AttributeError, KeyError, EOFError, ValueError, OSError):
        if path.suffix == ".safetensors":
            raise UserError(f"{path} is damaged, copy it again") from None
        return read_whole_checkpoint(path)
    except SafetensorError as error:
        raise UserError(f"{path} is damaged, copy it again: {one_line(error)}") from None


def fill(decoder: Decoder, weights: Mapping[str, Tensor], path: Path) -> Decoder:
    """The decoder with these weights, in evaluation mode. Raises UserError naming the first that does not fit."""
    wanted = {name: tuple(tensor.shape) for name, tensor in decoder.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            raise UserError(f"{path} does not fit: {name} would be {given.get(name)}, and has to be {wanted.get(name)}")
    decoder.load_state_dict({name: tensor.contiguous() for name, tensor in weights.items()})
    return decoder.eval()


def embedding_rows(table: Tensor, words: Sequence[int], *, begin: int, end: int, unknown: int | None) -> Tensor:
    """Rows of another's table (V', E) in our order: padding, begin, end, unknown, then `words`."""
    rows = table.new_zeros(UNK + 1 + len(words), table.shape[1])
    rows[BOS], rows[EOS] = table[begin], table[end]
    if unknown is not None:
        rows[UNK] = table[unknown]
    rows[UNK + 1 :] = table[list(words)]
    return rows


def output_rows(
    weight: Tensor, bias: Tensor, words: Sequence[int], *, end: int, unknown: int | None, others: Mapping[int, int] = {}
) -> tuple[Tensor, Tensor]:
    """Rows of another's output layer (V', W), (V') in our order; `others` maps further ids of ours to rows of theirs.

    A word that is not among theirs is never said.
    """
    rows, biases = weight.new_zeros(UNK + 1 + len(words), weight.shape[1]), weight.new_full((), NEVER_SAID)
    biases = biases.repeat(len(rows))
    places = {EOS: end, **({UNK: unknown} if unknown is not None else {}), **others}
    for ours, theirs in places.items():
        rows[ours], biases[ours] = weight[theirs], bias[theirs]
    rows[UNK + 1 :], biases[UNK + 1 :] = weight[list(words)], bias[list(words)]
    return rows, biases


def batch_norm(weights: Weights, name: str, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """What a batch norm that learns no more multiplies by and adds, (D) each."""
    weights.ignore(f"{name}.num_batches_tracked")
    scale = weights[f"{name}.weight"] / (weights[f"{name}.running_var"] + eps).sqrt()
    return scale, weights[f"{name}.bias"] - weights[f"{name}.running_mean"] * scale


def after_affine(weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The linear layer that reads x and gives what this one gives of scale * x + shift."""
    return weight * scale, bias + weight @ shift


def norm(weights: Weights, name: str) -> dict[str, Tensor]:
    """A layer norm of The Annotated Transformer."""
    return layer(weights[f"{name}.a_2"], weights[f"{name}.b_2"])


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with a prefix before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def layer(weight: Tensor, bias: Tensor | None = None) -> dict[str, Tensor]:
    """A linear layer's state."""
    return {"weight": weight} if bias is None else {"weight": weight, "bias": bias}


def stacked(*parts: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Linear layers of the same input as one, their outputs one after the other."""
    return layer(torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts]))
