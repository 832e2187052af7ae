"""METEOR 1.5 (Denkowski and Lavie 2014) through its jar, in one resident process."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from captioning.metrics.java import LOCALE_OPTIONS, JavaProcess, MetricUnavailable, find_java, find_package_file

# The jar's own parameters for English.
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_MODULE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])  # exact, stem, synonym, paraphrase
_SECONDS = 300.0
_STATISTICS = 23


@dataclass(frozen=True)
class MeteorScores:
    """METEOR of a corpus, which is not the mean, of each image, (I,), and the counts both come from, (I, 23)."""

    corpus: float
    per_image: NDArray[np.float64]
    statistics: NDArray[np.float64]


class Meteor:
    """The METEOR program. It starts with the first question, stays, and ends with `close` or with Python."""

    def __init__(self, jar: Path | None = None, *, seconds: float = _SECONDS):
        """`jar` is meteor-1.5.jar with data/paraphrase-en.gz beside it; by default the one of pycocoevalcap.

        Loading its tables takes about 7 seconds. `seconds` is the longest wait for any one answer.
        """
        self.jar = jar
        self.seconds = seconds
        self.process: JavaProcess | None = None

    def score(self, references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> MeteorScores:
        """Score tokenized captions: `references[i]` against `hypotheses[i]`. Raises MetricUnavailable."""
        process = self._running()
        lines = [
            " ||| ".join(["SCORE", *map(_clean, those), _clean(one).replace("  ", " ")])
            for those, one in zip(references, hypotheses, strict=True)
        ]
        statistics = process.ask(lines, len(lines))
        answers = process.ask([" ||| ".join(["EVAL", *statistics])], len(lines) + 1)
        try:
            values = np.array([float(answer) for answer in answers])
            counts = np.array([line.split() for line in statistics], dtype=float).reshape(-1, _STATISTICS)
        except ValueError as error:
            self.close()
            raise MetricUnavailable(f"METEOR gave an answer that is no number: {error}") from None
        return MeteorScores(float(values[-1]), values[:-1], _without_whole_matches(counts))

    def close(self) -> None:
        """End the program; the next `score` starts it again."""
        if self.process:
            self.process.close()
            self.process = None

    def _running(self) -> JavaProcess:
        if self.process is None or not self.process.alive:
            java = find_java("METEOR")
            jar = self.jar or find_package_file("METEOR", "meteor/meteor-1.5.jar")
            tables = jar.parent / "data" / "paraphrase-en.gz"
            if not jar.is_file() or not tables.is_file():
                missing = tables if jar.is_file() else jar
                raise MetricUnavailable(f"METEOR needs {missing}, which is missing: reinstall pycocoevalcap.")
            # Told where its tables are, the jar also works from a path with spaces.
            options = ["-", "-", "-stdio", "-l", "en", "-norm", "-a", str(tables)]
            command = [java, *LOCALE_OPTIONS, "-Xmx2G", "-jar", str(jar), *options]
            self.process = JavaProcess(command, metric="METEOR", folder=jar.parent, seconds=self.seconds)
        return self.process


def _clean(caption: str) -> str:
    """The caption on one line, without the protocol's own separator."""
    return re.sub(r"[\n\r\x0b\x0c\x85\u2028\u2029]", " ", caption).replace("|||", "")


@cache
def resident_meteor() -> Meteor:
    """The one METEOR program of this Python process."""
    return Meteor()


def meteor_of(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """METEOR in 0 to 1, (...,), from the jar's counts, (..., 23), of one image or summed over images.

    The counts are words and function words of both sides, matches of each module (content and function words of both
    sides), chunks, and all matches of both sides.
    """
    length, reference_length, function, reference_function = np.moveaxis(statistics[..., :4], -1, 0)
    matches = statistics[..., 4:20].reshape(*statistics.shape[:-1], 4, 4)
    content, reference_content, matched_function, matched_reference_function = (
        matches[..., column] @ _MODULE_WEIGHTS for column in range(4)
    )
    chunks, matched, reference_matched = np.moveaxis(statistics[..., 20:], -1, 0)
    precision = _ratio(
        _DELTA * content + (1 - _DELTA) * matched_function, _DELTA * (length - function) + (1 - _DELTA) * function
    )
    recall = _ratio(
        _DELTA * reference_content + (1 - _DELTA) * matched_reference_function,
        _DELTA * (reference_length - reference_function) + (1 - _DELTA) * reference_function,
    )
    mean = _ratio(precision * recall, _ALPHA * precision + (1 - _ALPHA) * recall)
    fragmentation = _ratio(chunks, (matched + reference_matched) / 2)
    return mean * (1 - _GAMMA * fragmentation**_BETA)


def _without_whole_matches(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """A hypothesis that matches a reference word for word counts as no chunk instead of one, alone and in a sum."""
    whole = (statistics[:, [0, 1]] == statistics[:, [21, 22]]).all(axis=1) & (statistics[:, 20] == 1)
    statistics[whole, 20] = 0
    return statistics


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
