"""Captions as integers: what every n-gram metric counts, computed once for a whole corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

MAX_ORDER = 4
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class NgramCounts:
    """How often each n-gram of one order stands in each sentence: E entries, sorted by sentence, then by n-gram."""

    sentences: Integers  # (E,)
    ngrams: Integers  # (E,) from 0 to distinct - 1
    counts: Integers  # (E,) 1 or more
    distinct: int


@dataclass(frozen=True)
class Shared:
    """Pairs of entries of `NgramCounts`: an n-gram of a reference, and the same n-gram of its image's hypothesis."""

    references: Integers  # (M,)
    hypotheses: Integers  # (M,)


@dataclass(frozen=True)
class Corpus:
    """I images, each with one hypothesis and at least one reference, as word ids.

    Sentences are numbered: first the S references, image by image, then the I hypotheses. `words` holds all sentences
    one after the other.
    """

    words: Integers  # (sum of lengths,)
    lengths: Integers  # (S + I,)
    references_per_image: Integers  # (I,)
    vocabulary: tuple[str, ...]

    @property
    def images(self) -> int:
        return len(self.references_per_image)

    @property
    def references(self) -> int:
        return len(self.lengths) - self.images

    @cached_property
    def image_of(self) -> Integers:
        """The image of each sentence, (S + I,)."""
        images = np.arange(self.images)
        return np.concatenate([np.repeat(images, self.references_per_image), images])

    @cached_property
    def first_reference(self) -> Integers:
        """The first reference of each image, (I,), as `np.ufunc.reduceat` wants it."""
        return np.concatenate([[0], np.cumsum(self.references_per_image)[:-1]]).astype(np.int64)

    @cached_property
    def split(self) -> Corpus:
        """The corpus in which a word that holds white space ("3 1/2", with a no-break space) is two words.

        BLEU and CIDEr read the official tokens so, ROUGE-L does not.
        """
        parts = [word.split() for word in self.vocabulary]
        sizes = np.fromiter(map(len, parts), np.int64, len(parts))
        if (sizes == 1).all():
            return self
        numbers = {part: number for number, part in enumerate(dict.fromkeys(chain.from_iterable(parts)))}
        flat = np.array([numbers[part] for part in chain.from_iterable(parts)], dtype=np.int64)
        size = sizes[self.words]
        within = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
        sentences = np.repeat(np.arange(len(self.lengths)), self.lengths)
        return Corpus(
            words=flat[np.repeat((np.cumsum(sizes) - sizes)[self.words], size) + within],
            lengths=np.bincount(sentences, size, minlength=len(self.lengths)).astype(np.int64),
            references_per_image=self.references_per_image,
            vocabulary=tuple(numbers),
        )

    @cached_property
    def counts(self) -> list[NgramCounts]:
        """N-gram counts for the orders 1 to 4."""
        sentences = np.repeat(np.arange(len(self.lengths)), self.lengths)
        ends = np.repeat(np.cumsum(self.lengths), self.lengths)
        room = ends - np.arange(len(self.words))  # words from here to the end of the sentence
        return [
            _count(sentences[room >= order], ngrams[room[: len(ngrams)] >= order])
            for order, ngrams in enumerate(_ngrams(self.words), start=1)
        ]

    @cached_property
    def shared(self) -> list[Shared]:
        """Which n-grams each reference shares with the hypothesis of its image, for the orders 1 to 4."""
        return [self._shared(counts) for counts in self.counts]

    def _shared(self, counts: NgramCounts) -> Shared:
        split = int(np.searchsorted(counts.sentences, self.references))
        keys = self.image_of[counts.sentences] * counts.distinct + counts.ngrams
        wanted, held = keys[split:], keys[:split]
        if not len(wanted):
            return Shared(np.empty(0, np.int64), np.empty(0, np.int64))
        place = np.minimum(np.searchsorted(wanted, held), len(wanted) - 1)
        reference = np.flatnonzero(wanted[place] == held)
        return Shared(reference, split + place[reference])

    def padded(self, sentences: Integers, fill: int) -> Integers:
        """The words of some sentences, (len(sentences), longest or 1), filled up with `fill`."""
        starts = (np.cumsum(self.lengths) - self.lengths)[sentences]
        lengths = self.lengths[sentences]
        columns = np.arange(lengths.max(initial=1))
        inside = columns < lengths[:, None]
        padded = np.full(inside.shape, fill)
        padded[inside] = self.words[(starts[:, None] + columns)[inside]]
        return padded


def _ngrams(words: Integers) -> list[Integers]:
    """A number for the n-gram that starts at each word, for n from 1 to 4; equal numbers for equal n-grams.

    A longer one is made of pairs of shorter ones, renumbered without gaps, so that the numbers stay far below 2**63.
    """
    pairs = numbered(words[:-1] * (words.max(initial=0) + 1) + words[1:])[1]
    distinct_pairs = pairs.max(initial=0) + 1
    triples = numbered(pairs[:-1] * (words.max(initial=0) + 1) + words[2:])[1]
    fours = numbered(pairs[:-2] * distinct_pairs + pairs[2:])[1]
    return [words, pairs, triples, fours]


def numbered(values: Integers) -> tuple[Integers, Integers]:
    """The distinct ones among numbers above -1, ascending, and the place of each value among them."""
    if not len(values) or int(values.max()) >= 2**63 // len(values):
        found, places = np.unique(values, return_inverse=True)
        return found, places.reshape(-1)
    # Sorting numbers that carry their place is several times faster than sorting places by numbers, or looking each up.
    placed = np.sort(values * len(values) + np.arange(len(values)))
    ordered = placed // len(values)
    first = np.diff(ordered, prepend=-1) != 0
    numbers = np.empty_like(values)
    numbers[placed - ordered * len(values)] = np.cumsum(first) - 1
    return ordered[first], numbers


def _count(sentences: Integers, ngrams: Integers) -> NgramCounts:
    distinct = int(ngrams.max(initial=-1)) + 1
    keys, counts = np.unique(sentences * max(distinct, 1) + ngrams, return_counts=True)
    return NgramCounts(keys // max(distinct, 1), keys % max(distinct, 1), counts, distinct)


def sums(groups: Integers, values: NDArray[np.generic], size: int) -> NDArray[np.float64]:
    """The sum of the values of each group, (size,), also where there is no value at all."""
    return np.bincount(groups, values, minlength=size).astype(float, copy=False)


def corpus_of(references: Sequence[Sequence[Sequence[str]]], hypotheses: Sequence[Sequence[str]]) -> Corpus:
    """A corpus from words: `references[i][j]` is the j-th reference of image i, `hypotheses[i]` its hypothesis."""
    sentences = [*chain.from_iterable(references), *hypotheses]
    words = list(chain.from_iterable(sentences))
    numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
    return Corpus(
        words=np.fromiter(map(numbers.__getitem__, words), np.int64, len(words)),
        lengths=np.fromiter(map(len, sentences), np.int64, len(sentences)),
        references_per_image=np.fromiter(map(len, references), np.int64, len(references)),
        vocabulary=tuple(numbers),
    )
