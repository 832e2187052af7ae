"""What a set of captions is made of: how long, how varied, and how much of it was copied. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from captioning.text.tokenizer import tokenize_all


@dataclass(frozen=True)
class CaptionStatistics:
    """Of words as the metrics see them: lower case, without punctuation. Shares are 0 to 1."""

    captions: int
    mean_length: float  # words
    lengths: dict[int, int]  # words in a caption -> captions, in order
    distinct_words: int
    distinct_captions: float  # share
    repeated: list[tuple[str, int]]  # the captions given most often, and how often
    copied: float | None = None  # share that stands word for word among the training captions; None: not at hand

    @property
    def novel(self) -> float | None:
        """Share of the captions that no one wrote in training."""
        return None if self.copied is None else 1 - self.copied


def caption_statistics(captions: Iterable[str], training: Iterable[str] | None = None) -> CaptionStatistics:
    """The statistics of captions; `training` are those that a model learned from, where they are at hand."""
    said = [tuple(words) for words in tokenize_all(list(captions))]
    total = max(len(said), 1)
    counts = Counter(said)
    known = None if training is None else {tuple(words) for words in tokenize_all(list(training))}
    return CaptionStatistics(
        captions=len(said),
        mean_length=sum(map(len, said)) / total,
        lengths=dict(sorted(Counter(map(len, said)).items())),
        distinct_words=len({word for words in said for word in words}),
        distinct_captions=len(counts) / total,
        repeated=[(" ".join(words), count) for words, count in counts.most_common(5) if count > 1],
        copied=None if known is None else sum(words in known for words in said) / total,
    )


def flattened(references: Mapping[object, Sequence[str]]) -> list[str]:
    """All captions of all pictures."""
    return [caption for captions in references.values() for caption in captions]
