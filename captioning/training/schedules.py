"""Learning rates over time, as factors of the optimiser's own rate."""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine(optimizer: Optimizer, total_steps: int, *, warmup: float = 0.05, floor: float = 0.0) -> LambdaLR:
    """Linear warm-up over a share `warmup` in [0, 1] of all steps, then half a cosine down to `floor` in [0, 1]."""
    rising = max(1, round(warmup * total_steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        progress = min(1.0, (step - rising) / max(1, total_steps - rising))
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, factor)


def constant(optimizer: Optimizer, total_steps: int, *, warmup: float = 0.0) -> LambdaLR:
    """Linear warm-up over a share `warmup` in [0, 1] of all steps, then the full rate."""
    rising = max(1, round(warmup * total_steps))
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / rising))
