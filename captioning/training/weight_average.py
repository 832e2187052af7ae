"""An average of the weights, validated and kept in their place."""

from __future__ import annotations

from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor

from captioning.errors import UserError


class MovingAverage(WeightAveraging):
    """The exponential moving average of everything that learns: after each step a share 1 - `decay` is the new weights.

    What does not change keeps its bits, which Lightning's own average rounds anew at every step: a frozen encoder has
    to stay the one that its stored features came from.
    """

    def __init__(self, decay: float):
        """`decay` is between 0 and 1. Raises UserError otherwise."""
        if not 0 < decay < 1:
            raise UserError(f"ema={decay}: it is a decay between 0 and 1, such as 0.999, or null")

        def average(mean: Tensor, now: Tensor, updates: int) -> Tensor:
            return mean.lerp(now, 1 - decay) if mean.is_floating_point() else now

        super().__init__(avg_fn=average)
