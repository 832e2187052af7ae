"""Shapes whatever their colours: an energy of contrast, and a small encoder that sees shapes and colours apart."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.encoders.convolutional import PictureConvolution
from captioning.layers.linear import Linear

FLOOR = 0.03  # energy of what is no more than grain
HUES = 32  # features of a pixel's colour


class ContrastEnergy(nn.Module):
    """Filters that see in each colour channel the same, and how strongly they answer in all of them together.

    log(floor + sum over channels of squared answers), as complex cells answer to a contrast whichever its sign
    (Adelson & Bergen 1985, Spatiotemporal energy models). The filters' means are taken off, so that an even surface
    has no energy: an outline is the same whether red on grey or blue on green, but for a constant.
    """

    def __init__(self, filters: int):
        super().__init__()
        self.filters = nn.Conv2d(1, filters, 5, 2, 2, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """maps (B, C, height, width) -> (B, filters, height / 2, width / 2), rounded up."""
        weight = self.filters.weight
        weight = weight - weight.mean((2, 3), keepdim=True)
        energy = torch.zeros((), device=maps.device)
        for channel in maps.split(1, 1):
            energy = energy + F.conv2d(channel, weight, None, 2, 2).float().square()
        return (energy + FLOOR).log().to(maps.dtype)


class ContrastConvolution(PictureConvolution):
    """A picture, squashed to `size` x `size`: convolutions see where contrast is, pixels by themselves which colour.

    A cell's token is the sum of both. The largest answer of a cell's pixels counts, so that a colour is the same in a
    thin thing as in a large one: what tells a shape is learned from all colours together, and a colour from all
    shapes, and either is known in pairs that no picture showed in training.
    """

    def __init__(self, *, size: int = 64, widths: Sequence[int] = (32, 64, 128), finetune: bool = True):
        super().__init__(size=size, widths=widths, finetune=finetune)
        self.layers[0] = ContrastEnergy(widths[0])
        self.hues = nn.Sequential(nn.Conv2d(3, HUES, 1), nn.GELU())
        self.colour = Linear(HUES, self.width)
        self.freeze()

    def cells(self, maps: Tensor) -> Tensor:
        tokens = super().cells(maps)
        hues = self.hues(F.avg_pool2d(maps, 2))  # half the pixels, without their grain
        largest = F.adaptive_max_pool2d(hues, math.isqrt(tokens.shape[1])).flatten(2).transpose(1, 2)  # (B, N, HUES)
        return tokens + self.colour(largest)
