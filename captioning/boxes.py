"""Boxes: the layouts in which files have them, what two have in common, and one with its name and score. No torch.

Inside the package a box is (x1, y1, x2, y2) in [0, 1], x to the right and y downwards from the picture's top left
corner, so that it holds for any size at which the picture is looked at. Tensors of boxes go to `torchvision.ops`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from captioning.errors import UserError

Corners = tuple[float, float, float, float]
FORMATS = ("xyxy", "xywh", "cxcywh", "yyxx")  # corners; COCO; centre; VRD: ymin, ymax, xmin, xmax


@dataclass(frozen=True, slots=True)
class Box:
    """A place in a picture, in [0, 1], with what is there and how sure that is. Prints as "dog 0.93 (12, 30, 48, 90)",
    places as percentages."""

    x1: float
    y1: float
    x2: float
    y2: float
    label: str = ""
    score: float = 1.0

    @property
    def corners(self) -> Corners:
        return self.x1, self.y1, self.x2, self.y2

    @property
    def area(self) -> float:
        """Its share of the picture; 0 where it has no extent."""
        return max(0.0, self.x2 - self.x1) * max(0.0, self.y2 - self.y1)

    @property
    def centre(self) -> tuple[float, float]:
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def pixels(self, width: int, height: int) -> Corners:
        """Its corners in pixels of a picture of that size."""
        return self.x1 * width, self.y1 * height, self.x2 * width, self.y2 * height

    def to_dict(self, size: tuple[int, int] | None = None) -> dict[str, Any]:
        """As JSON has it: label, score, and `box` in [0, 1], or in pixels of a picture of `size` (width, height)."""
        corners = self.corners if size is None else self.pixels(*size)
        digits = 4 if size is None else 1
        return {"label": self.label, "score": round(self.score, 4), "box": [round(c, digits) for c in corners]}

    def __str__(self) -> str:
        place = ", ".join(f"{100 * c:.0f}" for c in self.corners)
        return f"{self.label} {self.score:.2f} ({place})".lstrip()


def as_corners(values: Sequence[float], layout: str, size: tuple[float, float] | None, where: str) -> Corners:
    """A box as a file has it -> its corners in [0, 1], clipped to the picture.

    `layout` is one of FORMATS; `size` (width, height) that of the picture in the file's pixels, None where its numbers
    are shares already. Corners in the wrong order are exchanged. Raises UserError, which begins with `where`, for what
    is no box: not four finite numbers, nothing of it in the picture.
    """
    if layout not in FORMATS:
        raise UserError(f"{where}: boxes are {', '.join(FORMATS)}, not {layout!r}")
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) != 4 or len(values) != 4 or not np.isfinite(numbers).all():
        raise UserError(f"{where}: a box is four numbers, found {str(list(values))[:60]}")
    a, b, c, d = (float(number) for number in numbers)
    if layout == "xywh":
        a, b, c, d = a, b, a + c, b + d
    elif layout == "cxcywh":
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    elif layout == "yyxx":
        a, b, c, d = c, a, d, b
    width, height = size or (1.0, 1.0)
    if not (width > 0 and height > 0):
        raise UserError(f"{where}: the picture has no size")
    x1, x2 = sorted(min(max(x / width, 0.0), 1.0) for x in (a, c))
    y1, y2 = sorted(min(max(y / height, 0.0), 1.0) for y in (b, d))
    if x2 <= x1 or y2 <= y1:
        raise UserError(f"{where}: nothing of the box {str(list(values))[:60]} lies in the picture")
    return x1, y1, x2, y2


def box_areas(boxes: ArrayLike) -> NDArray[np.float64]:
    """(N, 4) -> (N,); 0 for a box whose corners are in the wrong order."""
    corners = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.clip(corners[:, 2:] - corners[:, :2], 0, None).prod(1)


def box_ious(ones: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of each of (N, 4) with each of (M, 4) -> (N, M); 0 where neither has an area.

    What `torchvision.ops.box_iou` says, for scoring files without torch.
    """
    a, b = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (ones, others))
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    either = box_areas(a)[:, None] + box_areas(b)[None] - shared
    return np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)


def union_box(boxes: Sequence[Corners]) -> Corners:
    """The smallest box around all of them, of which there is one at least."""
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return min(x1), min(y1), max(x2), max(y2)
