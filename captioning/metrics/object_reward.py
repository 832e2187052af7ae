"""What a caption gains in self-critical training for the objects that it names, and loses for those not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from captioning.metrics.chair import objects_named
from captioning.metrics.reward import Rewards
from captioning.text.tokenizer import tokenize
from captioning.text.vocabulary import EOS, PAD

PERSON = frozenset({"person"})
MOST_KEPT = 200_000  # captions of which is remembered what they name


class ObjectReward:
    """For each of COCO's objects that a sample names, once: `named` times the share of its image's captions that name
    it, nothing for a person; less `absent` where none does (Rohrbach et al. 2018, arXiv:1809.02156), or where it is
    named again.
    """

    def __init__(
        self, captions: Mapping[Hashable, Sequence[str]], words: Sequence[str], *, named: float, absent: float
    ):
        """`captions` of each training image, and the `words` that the ids of samples stand for."""
        self.captions, self.words, self.named, self.absent = captions, words, named, absent
        self.shares: dict[Hashable, dict[str, float]] = {}
        self.known: dict[tuple[int, ...], list[frozenset[str]]] = {}

    def __call__(self, image_ids: Sequence[Hashable], samples: ArrayLike) -> Rewards:
        """(B,) image ids, (B, R, T) word ids -> (B, R)."""
        rows = np.asarray(samples, dtype=np.int64).tolist()
        return np.array([[self.of(key, ids) for ids in row] for key, row in zip(image_ids, rows, strict=True)])

    def of(self, key: Hashable, ids: Sequence[int]) -> float:
        """The reward of one sample."""
        there, before, total = self.there(key), set[str](), 0.0
        for names in self.objects(ids):
            if before.issuperset(names):
                total -= 0.0 if names == PERSON else self.absent
                continue
            before.update(names)
            share = max(there.get(name, 0.0) for name in names)
            if not share:
                total -= self.absent
            elif names != PERSON:
                total += self.named * share
        return total

    def there(self, key: Hashable) -> dict[str, float]:
        """The share of an image's captions that name each object."""
        if key not in self.shares:
            said = [frozenset().union(*objects_named(tokenize(text))) for text in self.captions[key]]
            self.shares[key] = {n: count / len(said) for n, count in Counter(n for s in said for n in s).items()}
        return self.shares[key]

    def objects(self, ids: Sequence[int]) -> list[frozenset[str]]:
        """What a caption of word ids names, up to its first end or padding."""
        end = next((i for i, word in enumerate(ids) if word in (EOS, PAD)), len(ids))
        caption = tuple(ids[:end])
        if caption not in self.known:
            if len(self.known) >= MOST_KEPT:
                self.known.clear()
            self.known[caption] = objects_named([self.words[word] for word in caption])
        return self.known[caption]
