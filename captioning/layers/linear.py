"""A linear layer that knows how few rows one step of a search has."""

from __future__ import annotations

import platform
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ORDERED = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()
    and all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise"))
)
"""Whether this machine's torch can multiply by a weight that was put in order beforehand."""


class Linear(nn.Linear):
    """`torch.nn.Linear`, quicker without gradients on a CPU.

    A product first brings the weight into the order in which the processor reads it. For the tens of rows of one step
    that takes up to a third of the time, and it is the same at every word: without gradients a layer keeps an ordered
    copy, until its weight changes or may be about to.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True):
        super().__init__(in_features, out_features, bias)
        self.ordered: tuple[tuple, Tensor] | None = None  # version and type of the weight, and its ordered copy

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "ordered": None}  # neither copied nor saved

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if in_bf16(x, weight):
            return self.by_ordered(x.to(torch.bfloat16), weight, torch.bfloat16)
        if not can_order(x, weight):
            self.ordered = None  # what follows a pass with gradients may change weights without a new version
            return F.linear(x, weight, self.bias)
        return self.by_ordered(x, weight, torch.float32)

    def by_ordered(self, x: Tensor, weight: Tensor, kind: torch.dtype) -> Tensor:
        """x (..., I) times the ordered copy of the weight in this type, which x has already -> (..., O)."""
        version = (weight.data_ptr(), weight._version, kind)
        if self.ordered is None or self.ordered[0] != version:
            self.ordered = version, torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(kind))
        bias = None if self.bias is None else self.bias.to(kind)
        return torch.ops.mkldnn._linear_pointwise(x, self.ordered[1], bias, "none", [], "")


def can_order(x: Tensor, weight: Tensor) -> bool:
    """Whether x (..., I) may be multiplied by an ordered copy of `weight`."""
    if torch.compiler.is_compiling():  # which orders weights itself, and knows no ordered ones
        return False
    if not ORDERED or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or weight.is_inference():
        return False
    single = x.dtype == weight.dtype == torch.float32 and x.is_cpu and weight.is_cpu
    return single and x.numel() > 0


def in_bf16(x: Tensor, weight: Tensor) -> bool:
    """Whether x (..., I) is to be multiplied in bfloat16 by an ordered copy of `weight`: `precision=bf16` on a CPU."""
    if torch.compiler.is_compiling() or not ORDERED or torch.is_grad_enabled() or weight.is_inference():
        return False
    if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return False
    kinds = (torch.float32, torch.bfloat16)
    return x.is_cpu and weight.is_cpu and x.dtype in kinds and weight.dtype == torch.float32 and x.numel() > 0
