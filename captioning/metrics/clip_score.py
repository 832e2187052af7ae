"""CLIPScore and RefCLIPScore (Hessel et al. 2021, arXiv:2104.08718) of captions, by the vectors of any embedder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PREFIX = "A photo depicts "  # before a caption; references have it too
WEIGHT = 2.5


def clip_scores(images: NDArray, captions: NDArray) -> NDArray[np.float64]:
    """2.5 * max(cosine, 0) of each image and its caption. Unit vectors (I, W) both -> (I,)."""
    return WEIGHT * np.maximum((np.asarray(images, np.float64) * captions).sum(-1), 0)


def ref_clip_scores(images: NDArray, captions: NDArray, references: Sequence[NDArray]) -> NDArray[np.float64]:
    """The harmonic mean of an image's CLIPScore and of its caption's largest cosine with a reference, or zero.

    `references`: of each image unit vectors (R, W). -> (I,)
    """
    own = clip_scores(images, captions)
    best = np.array([max((np.asarray(r) @ c).max(), 0) for c, r in zip(captions, references, strict=True)], np.float64)
    total = own + best
    return np.divide(2 * own * best, total, out=np.zeros_like(total), where=total > 0)
