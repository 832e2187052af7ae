"""Scores of images, whatever is scored: over all of them, for each, and ready to be drawn again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from captioning.metrics.bootstrap import Resamplable
from captioning.metrics.references import ImageId


@dataclass(frozen=True)
class Scores:
    """Scores of I images by metric: values from 0 to 1 (CIDEr to 10), which tables show times 100.

    `corpus` is over all images, `per_image` (I,) in the order of `images`; `resamplable` has what bootstrap intervals
    and paired tests draw from. `unavailable` holds a sentence for each metric that could not be computed, `remarks` one
    for each value that says nothing about the captions, and why.
    """

    images: tuple[ImageId, ...]
    corpus: dict[str, float]
    per_image: dict[str, NDArray[np.float64]] = field(repr=False)
    resamplable: dict[str, Resamplable] = field(default_factory=dict, repr=False)
    unavailable: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
