"""Caption metrics as rewards for self-critical training: word ids in, one number a sample out (Rennie et al. 2017)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from captioning.metrics.bleu import bleu_of
from captioning.metrics.cider import SCALE, SIGMA
from captioning.metrics.ngrams import MAX_ORDER, sums
from captioning.metrics.reference_index import Integers, ReferenceIndex
from captioning.metrics.rouge import f_measure, lcs_lengths

Rewards = NDArray[np.float64]


class Reward(Protocol):
    """Scores R sampled captions of each of B images."""

    def __call__(self, image_ids: Sequence[Hashable], samples: ArrayLike) -> Rewards:
        """`samples` (B, R, T) are word ids that stop at the first end or padding token. -> (B, R)"""


def _flat(index: ReferenceIndex, image_ids: Sequence[Hashable], samples: ArrayLike) -> tuple[Integers, Integers]:
    """The image index of each sample, (B * R,), and the samples, (B * R, T or 1)."""
    samples = np.asarray(samples, dtype=np.int64)
    if samples.ndim != 3 or len(samples) != len(image_ids):
        raise ValueError(f"samples must be ({len(image_ids)} images, rows, words), not {samples.shape}")
    if not samples.shape[2]:
        samples = np.full((*samples.shape[:2], 1), index.pad)
    return np.repeat(index.images(image_ids), samples.shape[1]), samples.reshape(-1, samples.shape[2])


class CiderReward:
    """CIDEr-D, 0 to 10, with the document frequencies of the training captions (Vedantam et al. 2015).

    The end token is a word of both sides, so that a caption that stops too early or never is told apart. Everything
    about the references is computed here, once; a call only looks up the n-grams of the samples.
    """

    def __init__(self, references: ReferenceIndex | Mapping[Hashable, Sequence[ArrayLike]], *, sigma: float = SIGMA):
        """`references` maps each training image to its captions as word ids, or is an index of them."""
        self.index = references if isinstance(references, ReferenceIndex) else ReferenceIndex(references)
        self.sigma = sigma

    def __call__(self, image_ids: Sequence[Hashable], samples: ArrayLike) -> Rewards:
        """CIDEr-D of each sample: (B,) image ids, (B, R, T) word ids -> (B, R)."""
        index = self.index
        shape = np.shape(samples)[:2]
        images, flat = _flat(index, image_ids, samples)
        ngrams = index.sample_ngrams(flat)
        matches = index.matches(ngrams, images)
        idf = index.idf[ngrams.ngrams]
        norms = np.sqrt(sums(ngrams.groups, (ngrams.counts * idf) ** 2, MAX_ORDER * len(flat)))

        counts = ngrams.counts[matches.entries][:, None]
        products = np.minimum(counts, matches.counts) * matches.counts * (idf[matches.entries] ** 2)[:, None]  # (M, R)
        dots = np.zeros((MAX_ORDER * len(flat), products.shape[1]))
        groups = ngrams.groups[matches.entries]
        if len(groups):
            starts = np.flatnonzero(np.diff(groups, prepend=-1))
            dots[groups[starts]] = np.add.reduceat(products, starts, axis=0)
        dots = dots.reshape(MAX_ORDER, len(flat), -1)
        scale = norms.reshape(MAX_ORDER, len(flat), 1) * index.of_references(index.norms, images).transpose(2, 0, 1)
        similarity = np.divide(dots, scale, out=np.zeros_like(dots), where=scale != 0).sum(axis=0)  # (S, R)
        delta = np.maximum(ngrams.lengths - 1, 0)[:, None] - (index.of_references(index.lengths, images) - 1)
        similarity *= np.exp(-(delta**2) / (2 * self.sigma**2))
        return (similarity.sum(axis=1) / MAX_ORDER / index.per_image[images] * SCALE).reshape(shape)


class BleuReward:
    """Sentence BLEU of one order, 0 to 1, end token included, smoothed as in `captioning.metrics.bleu`."""

    def __init__(self, references: ReferenceIndex | Mapping[Hashable, Sequence[ArrayLike]], *, order: int = 4):
        self.index = references if isinstance(references, ReferenceIndex) else ReferenceIndex(references)
        self.order = order

    def __call__(self, image_ids: Sequence[Hashable], samples: ArrayLike) -> Rewards:
        """BLEU of each sample: (B,) image ids, (B, R, T) word ids -> (B, R)."""
        index = self.index
        shape = np.shape(samples)[:2]
        images, flat = _flat(index, image_ids, samples)
        ngrams = index.sample_ngrams(flat)
        matches = index.matches(ngrams, images)
        clipped = np.minimum(ngrams.counts[matches.entries], matches.counts.max(axis=1, initial=0))
        correct = sums(ngrams.groups[matches.entries], clipped, MAX_ORDER * len(flat))
        length = ngrams.lengths[:, None]
        lengths = np.asarray(index.of_references(index.lengths, images), np.int64)
        far = int(max(lengths.max(initial=0), length.max(initial=0))) + 1
        distance = np.where(lengths > 0, np.abs(lengths - length) * far + lengths, far * far)
        scores = bleu_of(
            correct.reshape(MAX_ORDER, -1).T,
            np.maximum(0, length - np.arange(MAX_ORDER)).astype(float),
            ngrams.lengths.astype(float),
            (distance.min(axis=1) % far).astype(float),
        )
        return scores[:, self.order - 1].reshape(shape)


class RougeReward:
    """ROUGE-L, 0 to 1, end token included."""

    def __init__(self, references: ReferenceIndex | Mapping[Hashable, Sequence[ArrayLike]]):
        self.index = references if isinstance(references, ReferenceIndex) else ReferenceIndex(references)
        self.sentences = self.index.padded(-2)  # (C, longest)

    def __call__(self, image_ids: Sequence[Hashable], samples: ArrayLike) -> Rewards:
        """ROUGE-L of each sample: (B,) image ids, (B, R, T) word ids -> (B, R)."""
        index = self.index
        shape = np.shape(samples)[:2]
        images, flat = _flat(index, image_ids, samples)
        length = index.sample_lengths(flat)
        flat = np.where(np.arange(flat.shape[1]) < length[:, None], flat, -1)
        lengths = index.of_references(index.lengths, images)  # (S, R)
        sample, reference = np.nonzero(lengths)
        longest = int(lengths.max(initial=1))
        rows = index.first_reference[images[sample]] + reference
        common = np.zeros(lengths.shape)
        common[sample, reference] = lcs_lengths(flat[sample], self.sentences[rows, :longest])
        precision = (common / np.maximum(length, 1)[:, None]).max(axis=1)
        recall = (common / np.maximum(lengths, 1)).max(axis=1)
        return f_measure(precision, recall).reshape(shape)


class WeightedReward:
    """A weighted sum of rewards, such as 1.0 CIDEr-D and 0.5 BLEU-4."""

    def __init__(self, *terms: tuple[Reward, float]):
        self.terms = terms

    def __call__(self, image_ids: Sequence[Hashable], samples: ArrayLike) -> Rewards:
        """The sum for each sample: (B,) image ids, (B, R, T) word ids -> (B, R)."""
        return np.sum([weight * reward(image_ids, samples) for reward, weight in self.terms], axis=0)
