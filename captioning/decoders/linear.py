"""A linear layer that knows how few rows one step of a search has."""

from __future__ import annotations

from torch import nn


class Linear(nn.Linear):
    """`torch.nn.Linear`, with its weight (O, I) laid out in memory as (I, O).

    For the tens of rows of a step the time of a product on a CPU goes into bringing the weight into the order in which
    it is used. This is nearly that order: a step needs about a fifth less time. More rows, as in training, gain and
    lose nothing.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, bias)
        self.weight = nn.Parameter(self.weight.detach().t().contiguous().t())
