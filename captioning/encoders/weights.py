"""Weights of a backbone out of a file."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from captioning.errors import UserError


def load_weights(model: nn.Module, path: Path, *, field: str, beside: tuple[str, ...] = ()) -> None:
    """Fills a model from a .safetensors file, or a .pth or .pt one of tensors alone, without running anything in it.

    `field` is what to call the setting in messages; names in the file that begin with one of `beside` belong to
    layers that are not wanted. Raises UserError where the file is not there, no such file, or does not fit.
    """
    weights = read_weights(path, field=field)
    try:
        wanted = {name: tensor for name, tensor in weights.items() if not (beside and name.startswith(beside))}
        model.load_state_dict(wanted)
    except RuntimeError as error:
        raise UserError(f"{field}={path} does not fit: {first_line(error)}") from None


def read_weights(path: Path, *, field: str) -> dict[str, Tensor]:
    """The named tensors of a .safetensors, .pth or .pt file, of which nothing is run. Raises UserError naming it."""
    try:
        return _read(path)
    except FileNotFoundError:
        raise UserError(f"{field}={path}: no such file (or say pretrained, or none)") from None
    except (
        OSError,
        SafetensorError,
        RuntimeError,
        ValueError,
        KeyError,
        pickle.UnpicklingError,
        TypeError,
        EOFError,
    ) as error:
        raise UserError(f"{field}={path} does not fit: {first_line(error)}") from None


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix not in (".pth", ".pt"):
        return load_file(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise TypeError("it holds something else than named tensors")
    return content


def first_line(error: Exception) -> str:
    """What an error says, as one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)
