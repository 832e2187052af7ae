"""Weights as whole numbers of eight bits: half of what float16 takes, for a model that is to be small."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ":scale"  # what the name of a scale adds to that of its weight; no module has a colon in a name
LEVELS = 127  # of a weight, on either side of zero
FEWEST = 4096  # numbers of a weight that is worth it


def in_eight_bits(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Large matrices and filters as int8, with one scale for each row or output channel; the others as they are.

    A number is off by half a level at most: by a 254th of the largest beside it in its row.
    """
    small: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if not tensor.is_floating_point() or tensor.dim() < 2 or tensor.numel() < FEWEST or not tensor.isfinite().all():
            small[name] = tensor
            continue
        rows = tensor.float().flatten(1)
        scale = rows.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / LEVELS
        small[name] = (rows / scale[:, None]).round().to(torch.int8).view(tensor.shape)
        small[f"{name}{SCALE}"] = scale
    return small


def restored(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `in_eight_bits` was given, in single precision, from what it gave; anything else as it is."""
    return {
        name: _restored(tensor, weights.get(f"{name}{SCALE}"))
        for name, tensor in weights.items()
        if not name.endswith(SCALE)
    }


def _restored(tensor: Tensor, scale: Tensor | None) -> Tensor:
    return tensor if scale is None else tensor.float() * scale.view(-1, *[1] * (tensor.dim() - 1))
