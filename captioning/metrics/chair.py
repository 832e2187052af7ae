"""CHAIR: how often captions name objects that are not there (Rohrbach et al. 2018, arXiv:1809.02156); and whether they
name the main one that is."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from captioning.text.concepts import coco_namer


def objects_named(words: Sequence[str]) -> list[frozenset[str]]:
    """COCO's objects that a tokenized caption names, mention by mention; each as the set of what it may stand for."""
    return [mention.names for mention in coco_namer()(words)]


def objects_there(references: Sequence[Sequence[str]], labels: Collection[str] = ()) -> frozenset[str]:
    """The objects of an image: those that any of its tokenized references names, and the `labels` of its instances."""
    return frozenset(labels).union(*(names for words in references for names in objects_named(words)))


def chair_counts(hypotheses: Sequence[Sequence[str]], there: Sequence[Collection[str]]) -> NDArray[np.int64]:
    """Of each tokenized caption the mentions of objects, and how many of them name what is not `there`. -> (I, 2)."""
    counts = np.zeros((len(hypotheses), 2), np.int64)
    for i, (words, objects) in enumerate(zip(hypotheses, there, strict=True)):
        named = objects_named(words)
        counts[i] = len(named), sum(names.isdisjoint(objects) for names in named)
    return counts


def share_of(counts: NDArray[np.generic]) -> NDArray[np.float64]:
    """From 0 to 1, of summed counts (..., 2): the second among the first, CHAIRi of `chair_counts`; 0 of none."""
    sums: NDArray[np.float64] = np.asarray(counts, np.float64)
    return np.divide(sums[..., 1], sums[..., 0], out=np.zeros(sums.shape[:-1]), where=sums[..., 0] > 0)


def chair_sentences(counts: NDArray[np.generic]) -> NDArray[np.float64]:
    """1 for each caption of counts (I, 2) that names something which is not there, else 0: their mean is CHAIRs."""
    return (np.asarray(counts)[:, 1] > 0).astype(float)


def main_object(boxes: Sequence[tuple[float, float, float, float]], labels: Sequence[str]) -> str | None:
    """The label of the largest of the boxes (x1, y1, x2, y2) that is no person's; None where there is none."""
    areas = [((x2 - x1) * (y2 - y1), label) for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True)]
    return max((one for one in areas if one[1] != "person"), default=(0.0, None))[1]


def main_object_counts(hypotheses: Sequence[Sequence[str]], main: Sequence[str | None]) -> NDArray[np.int64]:
    """Of each tokenized caption whether its image has a `main` object, and whether a mention may name it. -> (I, 2)."""
    counts = np.zeros((len(hypotheses), 2), np.int64)
    for i, (words, name) in enumerate(zip(hypotheses, main, strict=True)):
        counts[i] = name is not None, any(name in names for names in objects_named(words))
    return counts
