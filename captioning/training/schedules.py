"""Learning rates over time, as factors of the optimiser's own rate.

Every schedule takes the optimiser, the steps of the whole run and the steps of one epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from captioning.errors import UserError


def warmup_cosine(
    optimizer: Optimizer, total_steps: int, steps_per_epoch: int, *, warmup: float = 0.05, floor: float = 0.0
) -> LambdaLR:
    """Linear warm-up over a share `warmup` in [0, 1] of all steps, then half a cosine down to `floor` in [0, 1]."""
    rising = max(1, round(warmup * total_steps))

    def falling(step: int) -> float:
        progress = min(1.0, (step - rising) / max(1, total_steps - rising))
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, after_warmup(rising, falling))


def constant(optimizer: Optimizer, total_steps: int, steps_per_epoch: int, *, warmup: float = 0.0) -> LambdaLR:
    """Linear warm-up over a share `warmup` in [0, 1] of all steps, then the full rate."""
    return LambdaLR(optimizer, after_warmup(max(1, round(warmup * total_steps)), lambda step: 1.0))


def step(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    *,
    every: int = 3,
    factor: float = 0.8,
    warmup: float = 0.0,
) -> LambdaLR:
    """The rate times `factor` every `every` epochs, after a linear warm-up over a share `warmup` of all steps."""
    if every < 1:
        raise UserError(f"schedule.every={every}: it is 1 epoch or more")
    rising = max(1, round(warmup * total_steps))
    return LambdaLR(optimizer, after_warmup(rising, lambda step: factor ** (step // (every * steps_per_epoch))))


def noam(optimizer: Optimizer, total_steps: int, steps_per_epoch: int, *, warmup_steps: int = 10_000) -> LambdaLR:
    """Linear warm-up over `warmup_steps`, then down with the inverse square root of the step (Vaswani et al. 2017).

    The optimiser's rate is the highest: that of the paper's formula is (width * warmup_steps) ** -0.5.
    """
    if warmup_steps < 1:
        raise UserError(f"schedule.warmup_steps={warmup_steps}: it is 1 or more")
    return LambdaLR(optimizer, after_warmup(warmup_steps, lambda step: math.sqrt(warmup_steps / (step + 1))))


def plateau(
    optimizer: Optimizer,
    total_steps: int,
    steps_per_epoch: int,
    *,
    factor: float = 0.5,
    patience: int = 1,
    mode: Literal["max", "min"] = "max",
) -> ReduceLROnPlateau:
    """The rate times `factor` whenever the monitored score is not better for more than `patience` validations.

    `mode` says whether better is higher; a run gives that of its task.
    """
    if not 0 < factor < 1:
        raise UserError(f"schedule.factor={factor}: it is between 0 and 1")
    return ReduceLROnPlateau(optimizer, mode=mode, factor=factor, patience=patience)


def after_warmup(rising: int, then: Callable[[int], float]) -> Callable[[int], float]:
    """The factor of each step: 1 / rising at first, 1 after `rising` steps, from then on what `then` says."""
    return lambda step: (step + 1) / rising if step < rising else then(step)
