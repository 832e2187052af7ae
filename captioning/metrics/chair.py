"""CHAIR: how often captions name objects that are not there (Rohrbach et al. 2018, arXiv:1809.02156)."""

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


def chair_instances(counts: NDArray[np.generic]) -> NDArray[np.float64]:
    """CHAIRi, from 0 to 1, of summed counts (..., 2): hallucinated mentions among all; 0 where nothing is named."""
    sums: NDArray[np.float64] = np.asarray(counts, np.float64)
    return np.divide(sums[..., 1], sums[..., 0], out=np.zeros(sums.shape[:-1]), where=sums[..., 0] > 0)


def chair_sentences(counts: NDArray[np.generic]) -> NDArray[np.float64]:
    """1 for each caption of counts (I, 2) that names something which is not there, else 0: their mean is CHAIRs."""
    return (np.asarray(counts)[:, 1] > 0).astype(float)
