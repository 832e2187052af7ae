"""Where a phrase is in a picture, as people are told it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from captioning.boxes import Box


@dataclass(frozen=True)
class Location:
    """Where one phrase is in one picture. Prints as its boxes, or as "not there".

    `boxes` are the single things that are meant: none where that is not there. `box` is around all of them, and the
    model's best guess where there are none; its score is the probability that it is right (at an IoU of one half).
    """

    phrase: str
    boxes: tuple[Box, ...]
    box: Box
    there: float  # the probability that what is meant is in the picture
    attention: np.ndarray = field(repr=False, compare=False)  # (N,) how likely each token shows it, from 0 to 1
    places: np.ndarray = field(repr=False, compare=False)  # (N, 4) where the tokens are

    @property
    def found(self) -> bool:
        return bool(self.boxes)

    def to_dict(self, size: tuple[int, int] | None = None) -> dict[str, Any]:
        """As JSON has it; boxes in pixels of a picture of `size` (width, height), or else in [0, 1]."""
        boxes = [box.to_dict(size)["box"] for box in self.boxes]
        best = self.box.to_dict(size)["box"]
        sure = {"score": round(self.box.score, 4), "there": round(self.there, 4)}
        return {"phrase": self.phrase, "boxes": boxes, "best": best, **sure}

    def __str__(self) -> str:
        return "; ".join(map(str, self.boxes)) if self.boxes else f"{self.phrase}: not there ({1 - self.there:.2f})"
