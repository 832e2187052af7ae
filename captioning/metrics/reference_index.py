"""The reference captions of a training set as n-gram tables, which rewards read and never change."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray

from captioning.metrics.ngrams import MAX_ORDER, numbered, sums
from captioning.text.vocabulary import BOS, EOS, PAD

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class SampleNgrams:
    """The distinct n-grams of S samples: E entries, sorted by order, then by sample."""

    groups: Integers  # (E,) (order - 1) * S + sample
    ngrams: Integers  # (E,) number in the index, or -1 where no reference of any image holds it
    counts: Integers  # (E,) occurrences in the sample
    lengths: Integers  # (S,) words, the end token included where it counts


@dataclass(frozen=True)
class Matches:
    """Those n-grams of the samples that a reference of the same image holds: M of them, against up to R references."""

    entries: Integers  # (M,) which entry of `SampleNgrams`
    counts: Integers  # (M, R) occurrences in each reference; 0 beyond the image's references


class ReferenceIndex:
    """N-gram counts of all references of all images, from word ids; with `end` the end token is a sentence's last word.

    The tables are plain arrays: an index can be pickled, read by several threads, and inherited by worker processes.
    """

    def __init__(
        self,
        references: Mapping[Hashable, Sequence[ArrayLike]],
        *,
        pad: int = PAD,
        bos: int = BOS,
        eos: int = EOS,
        end: bool = True,
    ):
        """`references` maps an image id to its captions as word ids, with or without begin, end and padding."""
        self.pad, self.bos, self.eos, self.end = pad, bos, eos, end
        self.index_of = {image: index for index, image in enumerate(references)}
        self.per_image = np.fromiter(map(len, references.values()), np.int64, len(references))  # (I,)
        if not len(self.per_image) or not self.per_image.all():
            raise ValueError("a reward needs at least one reference caption for every image")
        sentences = [np.asarray(sentence) for sentence in chain.from_iterable(references.values())]
        self.words, self.lengths = self._sentences(sentences)  # one after the other; (C,) captions
        self.first_reference = np.cumsum(self.per_image) - self.per_image  # (I,)
        self.vocabulary_size = int(self.words.max()) + 1
        self.tables: list[Integers] = []  # the keys of all n-grams of order 2, 3 and 4, sorted
        self._count()

    def images(self, ids: Sequence[Hashable]) -> Integers:
        """The index of each image id, (B,). Raises KeyError with the first id that has no references."""
        return np.fromiter((self.index_of[image] for image in ids), np.int64, len(ids))

    def sample_lengths(self, samples: Integers) -> Integers:
        """Words of each sample up to the first end token, counted with `end`, or the first padding, (S, T) -> (S,)."""
        longest = samples.shape[1]
        ends = np.where(samples == self.eos, np.arange(longest) + self.end, longest)
        pads = np.where(samples == self.pad, np.arange(longest), longest)
        return np.minimum(ends, pads).min(axis=1, initial=longest)

    def padded(self, fill: int) -> Integers:
        """The words of all references, (C, longest), filled up with `fill`."""
        inside = np.arange(self.lengths.max()) < self.lengths[:, None]
        padded = np.full(inside.shape, fill)
        padded[inside] = self.words
        return padded

    def sample_ngrams(self, samples: Integers) -> SampleNgrams:
        """What the samples hold, (S, T) word ids that stop at the first end or padding token."""
        lengths = self.sample_lengths(samples)
        positions = np.arange(lengths.max(initial=1))
        # What follows the end becomes numbers of its own, which equal nothing.
        samples = np.where(positions < lengths[:, None], samples[:, : len(positions)], -2 - positions)
        numbers = self._numbers(np.where((samples >= 0) & (samples < self.vocabulary_size), samples, -1))
        same_word = samples[:, :, None] == samples[:, None, :]  # (S, T, T)
        same = same_word
        groups, ngrams, counts = [], [], []
        for order in range(1, min(MAX_ORDER, len(positions)) + 1):
            if order > 1:
                same = same[:, :-1, :-1] & same_word[:, order - 1 :, order - 1 :]
            places = positions[: same.shape[1]]
            first = (same.argmax(axis=2) == places) & (places <= (lengths - order)[:, None])  # (S, T - order + 1)
            number = numbers[order - 1][first]
            groups.append((order - 1) * len(samples) + np.nonzero(first)[0])
            ngrams.append(np.where(number < 0, -1, number + self.offsets[order - 1]))
            counts.append(same.sum(axis=2)[first])
        return SampleNgrams(np.concatenate(groups), np.concatenate(ngrams), np.concatenate(counts), lengths)

    def matches(self, ngrams: SampleNgrams, images: Integers) -> Matches:
        """How often the references of each sample's image hold its n-grams; images (S,)."""
        image = images[ngrams.groups % len(images)]
        keys = image * self.distinct + ngrams.ngrams
        rows = np.minimum(np.searchsorted(self.row_keys, keys), len(self.row_keys) - 1)
        entries = np.flatnonzero((self.row_keys[rows] == keys) & (ngrams.ngrams >= 0))
        image = image[entries]
        columns = np.arange(self.per_image[images].max(initial=0))
        inside = columns < self.per_image[image][:, None]
        start = self.block[image] + (rows[entries] - self.first_row[image]) * self.per_image[image]
        counts = self.counts[np.where(inside, start[:, None] + columns, 0)]
        return Matches(entries, np.where(inside, counts, 0))

    def of_references(self, values: NDArray[np.generic], images: Integers) -> NDArray[np.generic]:
        """Rows of `values` (C, ...) for the references of each image, (S, R, ...); 0 beyond the image's references."""
        columns = np.arange(self.per_image[images].max(initial=0))
        inside = columns < self.per_image[images][:, None]
        gathered = values[np.where(inside, self.first_reference[images][:, None] + columns, 0)]
        return np.where(inside.reshape(inside.shape + (1,) * (values.ndim - 1)), gathered, 0)

    def _sentences(self, sentences: Sequence[NDArray[np.generic]]) -> tuple[Integers, Integers]:
        """Without begin, end and padding but for one end each, which without `end` stands only where no word does: the
        words of all, and how many each has."""
        lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
        words = np.concatenate(sentences).astype(np.int64)
        sentence = np.repeat(np.arange(len(sentences)), lengths)
        place = np.arange(len(words)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        begins = (place == 0) & (words == self.bos)
        over = ((words == self.pad) | (words == self.eos)) & ~begins
        ended = np.cumsum(over) - np.repeat(np.cumsum(np.append(0, over))[np.cumsum(lengths) - lengths], lengths)
        kept = (ended == 0) & ~begins
        counts = np.bincount(sentence[kept], minlength=len(sentences))
        closing = (counts == 0) | self.end
        counts = counts + closing
        closed = np.full(counts.sum(), self.eos)
        inside = np.ones(len(closed), dtype=bool)
        inside[(np.cumsum(counts) - 1)[closing]] = False
        closed[inside] = words[kept]
        return closed, counts

    def _keys(self, order: int, words: Integers, pairs: Integers) -> Integers:
        """A key for each n-gram along the last axis; negative where a part of it is unknown."""
        if order == 2:
            first, second, base = words[..., :-1], words[..., 1:], self.vocabulary_size
        elif order == 3:
            first, second, base = pairs[..., :-1], words[..., 2:], self.vocabulary_size
        else:
            first, second, base = pairs[..., :-2], pairs[..., 2:], len(self.tables[0])
        return np.where((first < 0) | (second < 0), -1, first * base + second)

    def _numbers(self, words: Integers) -> list[Integers]:
        """The number of the n-gram at each position, for each order for which there is a table; -1 is unknown."""
        numbers = [words]
        for order, table in enumerate(self.tables, start=2):
            if words.shape[-1] >= order:
                keys = self._keys(order, words, numbers[1] if order > 2 else words)
                places = np.minimum(np.searchsorted(table, keys), len(table) - 1)
                numbers.append(np.where(table[places] == keys, places, -1) if len(table) else np.full_like(keys, -1))
        return numbers

    def _count(self) -> None:
        """Number the n-grams, and count each of them in the references of each image."""
        room = np.repeat(np.cumsum(self.lengths), self.lengths) - np.arange(len(self.words))
        numbers = [self.words]
        for order in range(2, MAX_ORDER + 1):
            keys = self._keys(order, self.words, numbers[1] if order > 2 else self.words)
            whole = room[: len(keys)] >= order
            table, number = numbered(keys[whole])
            self.tables.append(table)
            numbers.append(np.full_like(keys, -1))
            numbers[-1][whole] = number
        sizes = [self.vocabulary_size, *map(len, self.tables)]
        self.offsets = [sum(sizes[:order]) for order in range(MAX_ORDER)]
        self.distinct = sum(sizes)
        kept = [room[: len(number)] >= order for order, number in enumerate(numbers, start=1)]
        sentence = np.repeat(np.arange(len(self.lengths)), self.lengths)
        ngrams = [number[keep] + offset for number, keep, offset in zip(numbers, kept, self.offsets, strict=True)]
        sentences = [sentence[: len(keep)][keep] for keep in kept]
        self._tabulate(np.concatenate(sentences), np.concatenate(ngrams))

    def _tabulate(self, sentences: Integers, ngrams: Integers) -> None:
        """A block of counts for each image: a row for each n-gram of its references, a column for each reference."""
        keys, counts = counted(sentences * self.distinct + ngrams)
        sentences, ngrams = keys // self.distinct, keys % self.distinct
        image = np.repeat(np.arange(len(self.per_image)), self.per_image)[sentences]
        keys = image * self.distinct + ngrams
        self.row_keys, rows = numbered(keys)
        rows_per_image = np.bincount(self.row_keys // self.distinct, minlength=len(self.per_image))
        self.first_row = np.cumsum(rows_per_image) - rows_per_image
        self.block = np.cumsum(rows_per_image * self.per_image) - rows_per_image * self.per_image
        cells = int((rows_per_image * self.per_image).sum())
        self.counts = np.zeros(cells, dtype=np.min_scalar_type(int(counts.max())))
        rows -= self.first_row[image]
        column = sentences - self.first_reference[image]
        self.counts[self.block[image] + rows * self.per_image[image] + column] = counts
        frequency = np.bincount(self.row_keys % self.distinct, minlength=self.distinct)  # images that hold it
        images = float(len(self.per_image))
        # One more than there are n-grams: the last is for those that no reference holds, numbered -1.
        self.idf = np.append(np.log(images) - np.log(np.maximum(frequency, 1)), np.log(images))
        order = np.searchsorted(self.offsets, ngrams, side="right") - 1
        squares = (counts * self.idf[ngrams]) ** 2
        norms = sums(sentences * MAX_ORDER + order, squares, len(self.lengths) * MAX_ORDER)
        self.norms = np.sqrt(norms).reshape(-1, MAX_ORDER)  # (C, 4) of the tf-idf vector of each order


def counted(values: Integers) -> tuple[Integers, Integers]:
    """The distinct ones among numbers above -1, ascending, and how often each is there. Several times faster than
    `np.unique`, which hashes."""
    ordered = np.sort(values)
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    return ordered[first], np.diff(first, append=len(ordered))
