"""A linear probe: multinomial logistic regression on frozen features, its strength of regularisation by validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from captioning.errors import UserError

STRENGTHS = tuple(10.0**power for power in range(-6, 3))  # C, the inverse of the penalty, as scikit-learn has it


@dataclass(frozen=True)
class LinearProbe:
    """Class scores of features: (x - mean) / scale times weight, plus bias."""

    mean: Tensor  # (D,)
    scale: Tensor  # (D,)
    weight: Tensor  # (C, D)
    bias: Tensor  # (C,)
    strength: float  # the C that validation chose

    def scores(self, features: NDArray) -> NDArray[np.float32]:
        """features (n, D) -> (n, C)."""
        x = (torch.as_tensor(np.asarray(features, np.float32)) - self.mean) / self.scale
        return (x @ self.weight.T + self.bias).numpy()


def linear_probe(
    features: NDArray, labels: NDArray, *, strengths: Sequence[float] = STRENGTHS, held_out: float = 0.2, seed: int = 0
) -> LinearProbe:
    """The probe of features (n, D) and their labels (n,), 0 to C - 1, of which each occurs.

    Minimises C times the sum of cross-entropies plus half the squared weights, by L-BFGS (Radford et al. 2021 do it
    so). C is that of `strengths` which is best on a part `held_out` of each class, before all are learned from; of
    equals the smallest.
    """
    x, y = torch.as_tensor(np.asarray(features, np.float32)), torch.as_tensor(np.asarray(labels, np.int64))
    if x.ndim != 2 or len(x) != len(y) or not len(y) or int(y.min()) < 0 or not torch.isfinite(x).all():
        raise UserError("linear probe: features are (n, D) finite numbers, and each has a label from 0 on")
    counts = torch.bincount(y)
    if int(counts.min()) < 1 or len(counts) < 2:
        raise UserError("linear probe: there are two classes or more, and each has a photo")
    mean, scale = x.mean(0), x.std(0, unbiased=False).clamp(min=1e-6)
    x = (x - mean) / scale
    best = strengths[0]
    if len(strengths) > 1:
        inner, outer = _split(y, held_out, seed)
        right = []
        weight = bias = None
        for strength in sorted(strengths):  # each begins where the one before it ended
            weight, bias = _fit(x[inner], y[inner], len(counts), strength, weight, bias)
            right.append((_accuracy(x[outer] @ weight.T + bias, y[outer]), -strength))
        best = -max(right)[1]
    return LinearProbe(mean, scale, *_fit(x, y, len(counts), best), best)


def _split(labels: Tensor, held_out: float, seed: int) -> tuple[Tensor, Tensor]:
    """Places to learn from and to choose by: of each class a part, of one photo none to choose by."""
    generator = torch.Generator().manual_seed(seed)
    inner, outer = [], []
    for label in range(int(labels.max()) + 1):
        places = (labels == label).nonzero().squeeze(1)
        places = places[torch.randperm(len(places), generator=generator)]
        count = min(max(1, round(held_out * len(places))), len(places) - 1)
        outer.append(places[:count])
        inner.append(places[count:])
    outer_places = torch.cat(outer)
    if not len(outer_places):
        raise UserError("linear probe: no class has two photos, so none can be held out to choose C by")
    return torch.cat(inner), outer_places


def _fit(
    x: Tensor, y: Tensor, classes: int, strength: float, weight: Tensor | None = None, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    weight = torch.zeros(classes, x.shape[1]) if weight is None else weight.clone()
    bias = torch.zeros(classes) if bias is None else bias.clone()
    weight.requires_grad_(), bias.requires_grad_()
    penalty = 1 / (strength * len(x))
    steps = torch.optim.LBFGS([weight, bias], max_iter=200, tolerance_grad=1e-5, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        steps.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, y) + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        steps.step(closure)
    return weight.detach(), bias.detach()


def _accuracy(scores: Tensor, labels: Tensor) -> float:
    """The mean over classes of how often the first is right."""
    right = (scores.argmax(1) == labels).double()
    counts = torch.bincount(labels)
    return float((torch.bincount(labels, right)[counts > 0] / counts[counts > 0]).mean())
