"""Small convolutional networks that learn from scratch what a picture, a depth map, a sound or a short clip shows.

Each makes a map of its input, (C, height, width), and of that a grid of tokens: one network for every sense.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.layers.linear import Linear
from captioning.media.clip import Clip, FrameSampling
from captioning.media.depth_map import DepthMap
from captioning.media.sound import Sound
from captioning.media.spectrogram import log_mel
from captioning.memory import VisualMemory

if TYPE_CHECKING:
    from PIL.Image import Image

GROUPS = 8
FARTHEST = 10.0  # metres


class ConvolutionalEncoder(Encoder):
    """Convolutions that each halve the map, and one that looks around; tokens are the cells of the last map.

    A cell's token tells its place: without that, a pool of tokens would forget where things are. pooled: their mean.
    `shape` (channels, height, width) is that of what `read` gives; `widths` are the channels of each halving.
    """

    def __init__(self, *, shape: tuple[int, int, int], widths: Sequence[int], finetune: bool):
        super().__init__(finetune=finetune)
        if not widths or any(type(width) is not int or width < 1 or width % GROUPS for width in widths):
            raise UserError(f"encoder.widths={list(widths)}: numbers of channels that {GROUPS} divides")
        channels, high, wide = shape
        if min(high, wide) < 2 ** len(widths):
            raise UserError(f"encoder: a map of {high} x {wide} cannot be halved {len(widths)} times; fewer widths")
        layers: list[nn.Module] = []
        for before, width in zip((channels, *widths), widths, strict=False):
            layers += [nn.Conv2d(before, width, 3, 2, 1, bias=False), nn.GroupNorm(GROUPS, width), nn.GELU()]
            high, wide = -(-high // 2), -(-wide // 2)
        self.width = widths[-1]
        layers += [nn.Conv2d(self.width, self.width, 3, 1, 1, bias=False), nn.GroupNorm(GROUPS, self.width), nn.GELU()]
        self.layers = nn.Sequential(*layers)
        self.places = nn.Parameter(torch.randn(high * wide, self.width) * 0.02)
        self.mix = nn.Sequential(nn.LayerNorm(self.width), Linear(self.width, self.width), nn.GELU())
        self.freeze()

    def normalised(self, maps: Tensor) -> Tensor:
        """What `read` gave, as numbers of a size that suits the first layer."""
        return maps.to(self.places.dtype)

    def cells(self, maps: Tensor) -> Tensor:
        """What `normalised` gave (B, C, height, width) -> one token a cell of the last map (B, N, D)."""
        cells = self.layers(maps).flatten(2).transpose(1, 2) + self.places
        return cells + self.mix(cells)

    def forward(self, maps: Tensor) -> VisualMemory:
        """maps (B, C, height, width) -> one token a cell."""
        with torch.set_grad_enabled(self.finetune and torch.is_grad_enabled()):
            tokens = self.cells(self.normalised(maps))
            mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
            return VisualMemory(tokens, mask, tokens.mean(1))


class PictureConvolution(ConvolutionalEncoder):
    """A picture, squashed to `size` x `size`, through convolutions that know nothing beforehand."""

    def __init__(self, *, size: int = 64, widths: Sequence[int] = (32, 64, 128), finetune: bool = True):
        super().__init__(shape=(3, size, size), widths=widths, finetune=finetune)
        self.size = size

    def read(self, image: Image) -> Tensor:
        """One RGB picture -> uint8 (3, S, S)."""
        return _pixels(image, self.size)

    def normalised(self, maps: Tensor) -> Tensor:
        return (super().normalised(maps) - 127.5) / 64


class DepthEncoder(ConvolutionalEncoder):
    """A depth map, squashed to `size` x `size`: nearness, one channel, zero where nobody knows how far.

    Nearness is one metre over the distance, as disparity is (Girdhar et al. 2023, arXiv:2305.05665): what is near
    counts more than what is far.
    """

    takes = "depth"

    def __init__(self, *, size: int = 64, widths: Sequence[int] = (32, 64, 128), finetune: bool = True):
        super().__init__(shape=(1, size, size), widths=widths, finetune=finetune)
        self.size = size

    def read(self, depth: DepthMap) -> Tensor:
        """One depth map -> float16 (1, S, S) in [0, 1]."""
        metres = torch.from_numpy(np.array(depth.metres()))
        near = torch.where(metres > 0, 1 / metres.clamp(0.5, 2 * FARTHEST), torch.zeros(()))
        return F.adaptive_avg_pool2d(near[None], self.size).half()

    def normalised(self, maps: Tensor) -> Tensor:
        return (super().normalised(maps) - 0.25) / 0.2


class SoundEncoder(ConvolutionalEncoder):
    """A log-mel spectrogram: `bins` rows of `seconds` in steps of ten milliseconds, of sound at 16 kHz.

    128 bins of two seconds are ImageBind's (arXiv:2305.05665).
    """

    takes = "sound"
    size = 0  # it looks at no pixels

    def __init__(
        self,
        *,
        seconds: float = 2.0,
        bins: int = 128,
        step: float = 0.01,
        widths: Sequence[int] = (32, 64, 128, 128),
        finetune: bool = True,
    ):
        if not 0.1 <= seconds <= 60 or not 8 <= bins <= 512 or not 0.002 <= step <= 0.1:
            raise UserError(f"encoder.seconds={seconds}, bins={bins}, step={step}: 0.1 to 60, 8 to 512, 0.002 to 0.1")
        super().__init__(shape=(1, bins, round(seconds / step)), widths=widths, finetune=finetune)
        self.seconds, self.bins, self.step = seconds, bins, step

    def read(self, sound: Sound) -> Tensor:
        """One recording -> float16 (1, bins, steps), natural logarithms, mean 0 and deviation about 1."""
        return log_mel(sound, seconds=self.seconds, bins=self.bins, step=self.step)[None].half()


class ClipConvolution(ConvolutionalEncoder):
    """A short clip: `frames` frames of `size` x `size` pixels, each with what has changed since the one before.

    All of them are channels of one map, so that the first layer sees motion.
    """

    takes = "clip"

    def __init__(
        self, *, frames: int = 8, size: int = 48, widths: Sequence[int] = (48, 96, 128), finetune: bool = True
    ):
        if not 2 <= frames <= 64:
            raise UserError(f"encoder.frames={frames}: from 2 to 64")
        super().__init__(shape=(3 * (2 * frames - 1), size, size), widths=widths, finetune=finetune)
        self.frames, self.size = frames, size

    def read(self, clip: Clip) -> Tensor:
        """One clip -> uint8 (F, 3, S, S); of one with fewer frames the last is repeated."""
        seen, _ = clip.sample(FrameSampling(frames=self.frames), size=self.size)
        seen += [seen[-1]] * (self.frames - len(seen))
        return torch.stack([_pixels(frame, self.size) for frame in seen])

    def normalised(self, maps: Tensor) -> Tensor:
        frames = (super().normalised(maps) - 127.5) / 64  # (B, F, 3, S, S)
        return torch.cat([frames.flatten(1, 2), (frames[:, 1:] - frames[:, :-1]).flatten(1, 2)], 1)


def _pixels(image: Any, size: int) -> Tensor:
    """A picture squashed to uint8 (3, S, S)."""
    if image.size != (size, size):
        from PIL.Image import Resampling

        image = image.resize((size, size), Resampling.BICUBIC, reducing_gap=3.0)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
