"""Random choices that fall the same way on every machine and in every version of Python."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

Option = TypeVar("Option")


class Dice:
    """Choices that follow from a key alone.

    Python promises that `random()` gives the same numbers for the same integer for ever, and promises it of
    nothing else in `random`; so every choice here is built on that one method.
    """

    def __init__(self, *key: int | str):
        digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big"))

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self._random.random()

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self._random.random() < probability

    def pick(self, options: Sequence[Option]) -> Option:
        """One of the options, each as likely."""
        return options[int(self._random.random() * len(options))]

    def sample(self, options: Sequence[Option], count: int) -> list[Option]:
        """`count` different options in a random order."""
        left = list(options)
        return [left.pop(int(self._random.random() * len(left))) for _ in range(count)]
