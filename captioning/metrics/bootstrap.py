"""How sure a corpus score is: bootstrap intervals over images, and a paired test of two results (Koehn 2004)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 64 * 2**20  # bytes of counts that are held at a time


@dataclass(frozen=True)
class Resamplable:
    """A corpus metric as a function of sums: `rows` has one row of numbers an image, (I, S).

    `score` turns sums over images (..., S) and the number of images into the metric (...,).
    """

    rows: NDArray[np.float64]
    score: Callable[[NDArray[np.float64], int], NDArray[np.float64]]


def mean_of(values: NDArray[np.float64]) -> Resamplable:
    """A metric that is the mean of per-image values, (I,). CIDEr keeps the document frequencies of all images."""
    return Resamplable(values[:, None], lambda sums, images: sums[..., 0] / images)


def resample_counts(images: int, samples: int, seed: int) -> NDArray[np.float64]:
    """How often each image is drawn in each resample of the images with replacement, (samples, images)."""
    return np.concatenate([*counted(images, samples, seed)])


def counted(images: int, samples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """The rows of `resample_counts` in blocks of a few, so that they fit into BLOCK bytes however many there are."""
    generator = np.random.default_rng(seed)
    rows = max(BLOCK // (8 * max(images, 1)), 1)
    for start in range(0, samples, rows):
        counts = np.empty((min(rows, samples - start), images))
        for row in counts:
            row[:] = np.bincount(generator.integers(images, size=images), minlength=images)
        yield counts


def bootstrap(metric: Resamplable, draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """The metric of each resample, (samples,)."""
    return metric.score(draws @ metric.rows, draws.shape[1])


def resampled(
    metrics: Mapping[str, Resamplable], images: int, samples: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Each metric of each of so many resamples, (samples,), the same resamples for all; in constant memory."""
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in metrics}
    for draws in counted(images, samples, seed):
        for name, metric in metrics.items():
            found[name].append(bootstrap(metric, draws))
    return {name: np.concatenate(values) for name, values in found.items() if values}


def interval(values: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of resampled values."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Difference:
    """A result minus another one on the same images."""

    value: float
    low: float
    high: float
    p_value: float


def paired_difference(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], value: float, level: float = 0.95
) -> Difference:
    """Compare two results resample by resample, drawn alike. The p-value is two-sided: how often the sign turns, twice.

    It is never below 1 / (samples + 1), because the observed difference counts as one more resample.
    """
    differences = ours - theirs
    low, high = interval(differences, level)
    other_side = min((differences <= 0).sum(), (differences >= 0).sum())
    p_value = min(1.0, 2 * (other_side + 1) / (len(differences) + 1))
    return Difference(value, low, high, float(p_value))
