"""The seam between a detector and the encoder that looks at what it proposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from PIL.Image import Image

    from captioning.example import Example


@dataclass(frozen=True)
class Proposals:
    """What a detector proposes for B pictures: P boxes each, in any order; one whose score is 0 is none."""

    boxes: Tensor  # (B, P, 4) x1 y1 x2 y2 in [0, 1] of the photo itself
    scores: Tensor  # (B, P)    confidence in [0, 1]
    classes: Tensor  # (B, P)    int64, index into the detector's class names
    maps: Any = None  # what `Detector.describe` computes features from, where the detector has any


class Detector(nn.Module):
    """Pictures in, `Proposals` out. Always frozen and in eval mode.

    A subclass sets `class_names` and implements `read` and `forward`; one with features of its own also sets `width`
    and implements `describe`.
    """

    class_names: tuple[str, ...]
    size: int  # pixels a side that it wants to see
    reads_annotations = False  # whether it looks at what a source knows of a picture, and not at the picture alone
    width: int | None = None  # of the features that it has for a box

    def read(self, image: Image, example: Example | None) -> tuple[Tensor, ...]:
        """One RGB picture, and what its source knows of it -> what `collate` makes a batch of; needs no weights."""
        raise NotImplementedError

    def collate(self, readings: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Several results of `read` -> the arguments of `forward`."""
        return tuple(torch.stack(part) for part in zip(*readings, strict=True))

    def forward(self, *seen: Tensor) -> Proposals:
        raise NotImplementedError

    def describe(self, maps: Any, boxes: Tensor) -> Tensor:
        """Own features of boxes (B, N, 4) in [0, 1] -> (B, N, width)."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> Detector:
        return super().train(False)


def letterbox(image: Image, size: tuple[int, int], fill: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """The picture as large as fits into `size` (width, height), at the top left of a canvas of the colour `fill`.

    -> uint8 (3, height, width), and the share of the canvas that the picture covers, (2,) as width and height.
    """
    from PIL.Image import Resampling, new

    scale = min(size[0] / image.width, size[1] / image.height)
    inside = max(1, int(image.width * scale)), max(1, int(image.height * scale))
    canvas = new("RGB", size, fill)
    canvas.paste(image.resize(inside, Resampling.BILINEAR, reducing_gap=3.0), (0, 0))
    pixels = torch.from_numpy(np.array(canvas)).permute(2, 0, 1).contiguous()
    return pixels, torch.tensor([inside[0] / size[0], inside[1] / size[1]])


def of_the_photo(boxes: Tensor, extent: Tensor) -> Tensor:
    """Boxes (B, P, 4) in [0, 1] of a letterboxed canvas -> of the photo, which covers `extent` (B, 2) of it."""
    return (boxes / extent.repeat(1, 2)[:, None]).clamp(0, 1)


def coco_names() -> tuple[str, ...]:
    """The 80 categories of COCO's instances, in their order."""
    return tuple(name for name in coco_names_by_id() if name != "N/A")


def coco_names_by_id() -> tuple[str, ...]:
    """COCO's categories at their ids less one, from 1 to 90; those that were never used are N/A."""
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    return tuple(FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"][1:])
