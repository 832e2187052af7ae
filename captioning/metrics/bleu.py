"""BLEU-1 to BLEU-4 as the official caption evaluation computes it (Papineni et al. 2002)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from captioning.metrics.ngrams import MAX_ORDER, Corpus, sums

_NUMERATOR = 1e-15
_DENOMINATOR = 1e-9


@dataclass(frozen=True)
class BleuStatistics:
    """What BLEU sums over images before it divides; one row per image."""

    correct: NDArray[np.float64]  # (I, 4) n-grams that a reference has, at most as often as one reference has them
    guessed: NDArray[np.float64]  # (I, 4) n-grams of the hypothesis
    length: NDArray[np.float64]  # (I,) words of the hypothesis
    reference_length: NDArray[np.float64]  # (I,) words of the reference that is closest in length, the shorter of two


def bleu_statistics(corpus: Corpus) -> BleuStatistics:
    """The statistics of each image."""
    corpus = corpus.split
    length = corpus.lengths[corpus.references :]
    correct = np.empty((corpus.images, MAX_ORDER))
    for order, (counts, shared) in enumerate(zip(corpus.counts, corpus.shared, strict=True)):
        most = np.zeros_like(counts.counts)
        np.maximum.at(most, shared.hypotheses, counts.counts[shared.references])
        clipped = np.minimum(most, counts.counts)
        correct[:, order] = sums(counts.sentences, clipped, len(corpus.lengths))[corpus.references :]
    return BleuStatistics(
        correct=correct,
        guessed=np.maximum(0, length[:, None] - np.arange(MAX_ORDER)).astype(float),
        length=length.astype(float),
        reference_length=closest_lengths(corpus).astype(float),
    )


def closest_lengths(corpus: Corpus) -> NDArray[np.int64]:
    """For each image the length of the reference closest in length to its hypothesis, the shorter of two, (I,)."""
    lengths = corpus.lengths[: corpus.references]
    target = np.repeat(corpus.lengths[corpus.references :], corpus.references_per_image)
    scale = int(corpus.lengths.max(initial=0)) + 1
    return np.minimum.reduceat(np.abs(lengths - target) * scale + lengths, corpus.first_reference) % scale


def bleu_of(
    correct: NDArray[np.float64],
    guessed: NDArray[np.float64],
    length: NDArray[np.float64],
    reference_length: NDArray[np.float64],
) -> NDArray[np.float64]:
    """BLEU-1 to -4 in 0 to 1, (..., 4), of statistics (..., 4), (..., 4), (...,), (...,), summed or not."""
    precision = np.cumprod((correct + _NUMERATOR) / (guessed + _DENOMINATOR), axis=-1)
    ratio = (length + _NUMERATOR) / (reference_length + _DENOMINATOR)
    brevity = np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))
    return precision ** (1.0 / np.arange(1, MAX_ORDER + 1)) * brevity[..., None]


def bleu(corpus: Corpus) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """BLEU-1 to -4 of the corpus, (4,), and of each image, (I, 4)."""
    statistics = bleu_statistics(corpus)
    return bleu_of_corpus(statistics), bleu_of(**vars(statistics))


def bleu_of_corpus(statistics: BleuStatistics) -> NDArray[np.float64]:
    """BLEU-1 to -4 of the summed statistics, (4,)."""
    return bleu_of(**{name: np.asarray(values.sum(axis=0)) for name, values in vars(statistics).items()})
