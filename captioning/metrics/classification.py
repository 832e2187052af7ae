"""How often the right class is the first, or among the first five; the mean over classes. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from captioning.errors import UserError


def class_ranks(scores: NDArray, labels: NDArray) -> NDArray[np.int64]:
    """Where the right class stands, from 1 on. scores (n, C), labels (n,) -> (n,). A tie counts against it."""
    scores, labels = np.asarray(scores), np.asarray(labels, np.int64)
    if scores.ndim != 2 or len(scores) != len(labels) or not len(labels):
        raise UserError("classification: each image needs a score for every class, and one label")
    if not 0 <= labels.min() <= labels.max() < scores.shape[1] or not np.isfinite(scores).all():
        raise UserError(f"classification: labels are 0 to {scores.shape[1] - 1}, and scores finite numbers")
    return (scores >= scores[np.arange(len(labels)), labels][:, None]).sum(1)


def table_of_ranks(places: NDArray, labels: NDArray) -> dict[str, float]:
    """ "top-1", "top-5" and "mean per class" (top-1, of the classes that occur), in [0, 1]; places from 1 on (n,)."""
    places, labels = np.asarray(places), np.asarray(labels, np.int64)
    counts = np.bincount(labels)
    right = np.bincount(labels, places == 1, len(counts))
    table = {"top-1": float((places == 1).mean()), "top-5": float((places <= 5).mean())}
    return {**table, "mean per class": float((right[counts > 0] / counts[counts > 0]).mean())}


def accuracy_table(scores: NDArray, labels: NDArray) -> dict[str, float]:
    """`table_of_ranks` of where the right class stands by its score. scores (n, C), labels (n,)."""
    return table_of_ranks(class_ranks(scores, labels), labels)


def ranked(labels: Sequence[str], probabilities: NDArray) -> dict[str, float]:
    """Label -> probability, the most probable first."""
    order = np.argsort(-probabilities, kind="stable")
    return {labels[i]: float(probabilities[i]) for i in order.tolist()}
