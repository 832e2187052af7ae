"""CIDEr-D, which the official caption evaluation reports as CIDEr, and the plain CIDEr (Vedantam et al. 2015)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from captioning.metrics.ngrams import MAX_ORDER, Corpus, NgramCounts, Shared, sums

SIGMA = 6.0
SCALE = 10.0


def document_frequency(corpus: Corpus, counts: NgramCounts) -> NDArray[np.int64]:
    """For each n-gram the number of images with a reference that holds it, (distinct,)."""
    split = np.searchsorted(counts.sentences, corpus.references)
    images = corpus.image_of[counts.sentences[:split]]
    pairs = np.sort(images * counts.distinct + counts.ngrams[:split])
    first = np.diff(pairs, prepend=-1) != 0
    return np.bincount(pairs[first] % max(counts.distinct, 1), minlength=counts.distinct)


def cider(corpus: Corpus, *, variant: str = "D") -> NDArray[np.float64]:
    """CIDEr of each image, 0 to 10, (I,); the corpus value is the mean.

    Document frequencies are those of the corpus itself, so one image alone scores 0. Variant "D" clips counts to the
    reference's and lowers the similarity of sentences of other lengths (a Gaussian of `SIGMA` bigrams); variant ""
    is the cosine of the first definition. Both are times ten.
    """
    corpus = corpus.split
    image = corpus.image_of[: corpus.references]
    similarity = np.zeros(corpus.references)
    for counts, shared in zip(corpus.counts, corpus.shared, strict=True):
        similarity += _similarities(corpus, counts, shared, clip=variant == "D")
    if variant == "D":
        bigrams = np.maximum(corpus.lengths - 1, 0)
        delta = bigrams[corpus.references + image] - bigrams[: corpus.references]
        similarity *= np.exp(-(delta**2) / (2 * SIGMA**2))
    total = sums(image, similarity, corpus.images)
    return total / MAX_ORDER / corpus.references_per_image * SCALE


def _similarities(corpus: Corpus, counts: NgramCounts, shared: Shared, *, clip: bool) -> NDArray[np.float64]:
    """Cosine similarity of the tf-idf vectors of one order, of each reference with its hypothesis, (S,)."""
    frequency = document_frequency(corpus, counts)
    idf = np.log(float(max(corpus.images, 1))) - np.log(np.maximum(1.0, frequency))
    weights = counts.counts * idf[counts.ngrams]
    norms = np.sqrt(sums(counts.sentences, weights**2, len(corpus.lengths)))

    reference, hypothesis = weights[shared.references], weights[shared.hypotheses]
    products = np.minimum(hypothesis, reference) * reference if clip else hypothesis * reference
    dots = sums(counts.sentences[shared.references], products, corpus.references)
    scale = norms[: corpus.references] * norms[corpus.references + corpus.image_of[: corpus.references]]
    return np.divide(dots, scale, out=np.zeros_like(dots), where=scale != 0)
