"""ROUGE-L as the official caption evaluation computes it (Lin 2004), over all images at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from captioning.metrics.ngrams import Corpus

BETA = 1.2
_PAIRS_AT_ONCE = 4096
_EMPTY_WORD = -3


def lcs_lengths(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.integer]:
    """Lengths of the longest common subsequences of P pairs of rows, (P, M) and (P, N) -> (P,).

    Padding must differ between the two, so that it never matches. One row of the usual table is a running maximum, so
    the work is M passes over (N, P) numbers.
    """
    columns = np.ascontiguousarray(second.T)  # (N, P)
    # Small numbers, because the time goes into moving them.
    best = np.zeros((len(columns) + 1, len(first)), dtype=np.int16 if len(columns) < 2**15 else np.int64)
    for word in np.ascontiguousarray(first.T):
        candidates = np.maximum(best[1:], best[:-1] + (columns == word))
        np.maximum.accumulate(candidates, axis=0, out=best[1:])
    return best[-1]


def f_measure(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> NDArray[np.float64]:
    """The F measure that weighs recall `BETA` times as much; 0 where both are 0."""
    weighted = recall + BETA**2 * precision
    product = (1 + BETA**2) * precision * recall
    return np.divide(product, weighted, out=np.zeros_like(product), where=(precision > 0) & (recall > 0))


def rouge_l(corpus: Corpus) -> NDArray[np.float64]:
    """ROUGE-L of each image, 0 to 1, (I,): the best precision and the best recall over the references, independently.

    An empty caption counts as one empty word, which another empty caption matches: so does the official code.
    """
    references = np.arange(corpus.references)
    hypotheses = corpus.references + corpus.image_of[references]
    lengths = np.maximum(corpus.lengths, 1)
    common = np.empty(corpus.references)
    by_length = np.argsort(np.maximum(lengths[references], lengths[hypotheses]), kind="stable")
    for start in range(0, corpus.references, _PAIRS_AT_ONCE):
        pairs = by_length[start : start + _PAIRS_AT_ONCE]
        common[pairs] = lcs_lengths(_padded(corpus, hypotheses[pairs], -1), _padded(corpus, references[pairs], -2))
    precision = np.maximum.reduceat(common / lengths[hypotheses], corpus.first_reference)
    recall = np.maximum.reduceat(common / lengths[references], corpus.first_reference)
    return f_measure(precision, recall)


def _padded(corpus: Corpus, sentences: NDArray[np.int64], fill: int) -> NDArray[np.int64]:
    padded = corpus.padded(sentences, fill)
    padded[corpus.lengths[sentences] == 0, 0] = _EMPTY_WORD
    return padded
