"""Retrieval between images and texts: ranks, recall at K, median and mean rank, with intervals over images.

A vector finds another by cosine, so all vectors are of unit length. Image to text: the rank of the best of the
image's own texts; text to image: the rank of its image. A rank counts from 1, and a tie counts against the right
answer: vectors that are all alike find nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from captioning.errors import UserError
from captioning.metrics.bootstrap import Resamplable

CUTOFFS = (1, 5, 10)
SHUFFLES = 9_999
MOST_SHUFFLED = 2_000  # pairs that are looked at: their ranks are a square of this side
BLOCK = 1024  # images compared with all texts at once: what a block holds in memory grows with it


@dataclass(frozen=True)
class Ranks:
    """Where the right answer stood, from 1 on, for I images and T texts."""

    image_to_text: NDArray[np.int64]  # (I,) of the best of its own texts
    text_to_image: NDArray[np.int64]  # (T,)
    owner: NDArray[np.int64]  # (T,) the image that each text belongs to


def ranks(images: NDArray, texts: NDArray, owner: Sequence[int] | NDArray) -> Ranks:
    """Ranks both ways. images (I, D), texts (T, D), owner (T,): row in `images` that each text belongs to.

    Never holds more than `BLOCK` rows of the (I, T) similarities. Raises UserError for a vector that is not finite, for
    an owner that is no image, and for an image without a text.
    """
    images, texts = np.asarray(images, np.float32), np.asarray(texts, np.float32)
    owner = np.asarray(owner, np.int64)
    if len(owner) != len(texts) or not np.isfinite(images).all() or not np.isfinite(texts).all():
        raise UserError("retrieval: every text needs an image, and every vector finite numbers")
    if len(owner) and not 0 <= owner.min() <= owner.max() < len(images):
        raise UserError(f"retrieval: texts belong to images 0 to {len(images) - 1}, not to {owner.max()}")
    bare = np.bincount(owner, minlength=len(images)) == 0
    if bare.any():
        raise UserError(f"retrieval: {bare.sum():,} images have no text, the first is number {np.flatnonzero(bare)[0]}")
    order = np.argsort(owner, kind="stable")
    own = np.empty(len(texts), np.float32)
    image_ranks = np.empty(len(images), np.int64)
    for start in range(0, len(images), BLOCK):  # once for the right answers, and once for all others
        block = slice(start, start + BLOCK)
        similar = images[block] @ texts.T  # (b, T)
        inside = order[np.searchsorted(owner[order], start) : np.searchsorted(owner[order], start + len(similar))]
        own[inside] = similar[owner[inside] - start, inside]
        mine = np.zeros(similar.shape, bool)
        mine[owner[inside] - start, inside] = True
        best = np.where(mine, similar, -np.inf).max(1, keepdims=True)  # (b, 1)
        image_ranks[block] = 1 + ((similar >= best) & ~mine).sum(1)
    higher = np.zeros(len(texts), np.int64)
    for start in range(0, len(images), BLOCK):
        higher += (images[start : start + BLOCK] @ texts.T >= own).sum(0)
    return Ranks(image_ranks, np.maximum(higher, 1), owner)  # its own image is one of those that are as near


def recall_table(found: Ranks) -> dict[str, float]:
    """ "i2t R@1", ... "t2i R@10" in [0, 1], and the median and mean ranks of both ways."""
    table: dict[str, float] = {}
    for way, places in (("i2t", found.image_to_text), ("t2i", found.text_to_image)):
        table |= {f"{way} R@{k}": float((places <= k).mean()) for k in CUTOFFS}
        table |= {f"{way} median rank": float(np.median(places)), f"{way} mean rank": float(places.mean())}
    return table


def recall_per_image(found: Ranks) -> dict[str, NDArray[np.float64]]:
    """Every recall image by image, (I,): whether it found a text of its own; which part of its texts found it."""
    texts = np.bincount(found.owner, minlength=len(found.image_to_text))
    values: dict[str, NDArray[np.float64]] = {}
    for k in CUTOFFS:
        values[f"i2t R@{k}"] = (found.image_to_text <= k).astype(np.float64)
    for k in CUTOFFS:
        values[f"t2i R@{k}"] = np.bincount(found.owner, found.text_to_image <= k, len(texts)) / texts
    return values


def resamplable(found: Ranks) -> dict[str, Resamplable]:
    """Every recall as a function of sums over images, for `bootstrap`: an image comes with all its texts."""
    texts = np.bincount(found.owner, minlength=len(found.image_to_text)).astype(np.float64)
    ready = {}
    for name, values in recall_per_image(found).items():
        weights = np.ones(len(texts)) if name.startswith("i2t") else texts
        ready[name] = Resamplable(np.column_stack([values * weights, weights]), _ratio)
    return ready


def _ratio(sums: NDArray[np.float64], images: int) -> NDArray[np.float64]:
    return sums[..., 0] / sums[..., 1]


def in_folds(images: NDArray, texts: NDArray, owner: Sequence[int] | NDArray, *, size: int = 1000) -> dict[str, float]:
    """`recall_table` averaged over consecutive folds of `size` images, as COCO's 1k figures are (five folds of 1,000).

    Images beyond the last whole fold are left out. Raises UserError where there is no whole fold.
    """
    owner = np.asarray(owner, np.int64)
    if len(images) < size:
        raise UserError(f"retrieval: {len(images):,} images make no fold of {size:,}")
    tables = []
    for start in range(0, len(images) - size + 1, size):
        inside = (owner >= start) & (owner < start + size)
        fold = ranks(images[start : start + size], texts[inside], owner[inside] - start)
        tables.append(recall_table(fold))
    return {name: float(np.mean([table[name] for table in tables])) for name in tables[0]}


def chance_of(one: NDArray, other: NDArray, *, shuffles: int = SHUFFLES, seed: int = 0) -> float:
    """How probable it is that pairs dealt at random find each other as well as these do: a permutation test.

    one, other (n, D): row i of both belong together. What is compared is the mean rank of the right one, both ways, a
    tie counting against it, with that under `shuffles` random pairings; one more than those that reach it, over one
    more than all. Of more than MOST_SHUFFLED pairs the first are looked at.
    """
    one, other = (np.asarray(part, np.float32)[:MOST_SHUFFLED] for part in (one, other))
    similar = one @ other.T  # (n, n)

    def places(rows: NDArray) -> NDArray:
        ordered = np.sort(rows, axis=1)
        return np.stack([len(row) - np.searchsorted(o, row, "left") for row, o in zip(rows, ordered, strict=True)])

    rank = places(similar) + places(similar.T).T  # (n, n), of pairing i with j
    everyone, dice = np.arange(len(rank)), np.random.default_rng(seed)
    own = rank[everyone, everyone].sum()
    as_good = sum(int(rank[everyone, dice.permutation(len(rank))].sum() <= own) for _ in range(shuffles))
    return (1 + as_good) / (1 + shuffles)
