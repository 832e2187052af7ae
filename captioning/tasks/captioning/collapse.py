"""Signs that a decoder has found captions which please the reward and nobody else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from captioning.text.vocabulary import EOS, Vocabulary

# words that stop a caption in the middle of a phrase
UNFINISHED_ENDINGS = """
a an the and or but of in on at to from by with for into onto over under near behind beside between through across
along around against above below beneath inside outside toward towards upon off while as that which its his her their
""".split()


def share_that_breaks_off(vocabulary: Vocabulary) -> Callable[[NDArray[np.int64], NDArray[np.int64]], float]:
    """-> a function of samples (B, R, T) and their lengths in words (B, R): the share that ends, or is cut, after an
    article, preposition, conjunction or possessive."""
    endings = np.array([vocabulary.ids[word] for word in UNFINISHED_ENDINGS if word in vocabulary.ids], np.int64)

    def share(samples: NDArray[np.int64], lengths: NDArray[np.int64]) -> float:
        last = np.take_along_axis(samples, np.maximum(lengths - 1, 0)[..., None], 2)
        return float(np.isin(np.where(last == EOS, -1, last), endings).mean())

    return share


class CollapseWatch:
    """Compares running means of reward and length with what they were at first; speaks once."""

    def __init__(self, *, first: int = 20, memory: float = 0.95):
        """The first `first` steps set the standard; running means forget a share 1 - `memory` a step."""
        self.first, self.memory = first, memory
        self.steps, self.warned = 0, False
        self.standard = np.zeros(2)
        self.now = np.zeros(3)

    def __call__(self, reward: float, words: float, alike: float) -> str | None:
        """Mean reward, mean words a caption, share of images whose samples are all one -> what is wrong, or None."""
        self.steps += 1
        values = np.array([reward, words, alike])
        if self.steps <= self.first:
            self.standard += values[:2] / self.first
            self.now += values / self.first
            return None
        self.now = self.memory * self.now + (1 - self.memory) * values
        trouble = self.trouble()
        if trouble is None or self.warned:
            return None
        self.warned = True
        return trouble

    def trouble(self) -> str | None:
        (reward, words), (now, length, alike) = self.standard, self.now
        if now < 0.5 * reward:
            return f"the reward fell from {reward:.3f} to {now:.3f}"
        if length < 0.6 * words:
            return f"captions shrank from {words:.1f} to {length:.1f} words"
        if alike > 0.9:
            return f"of {alike:.0%} of the images all samples are the same caption"
        return None
