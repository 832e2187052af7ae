"""The page about boxes: which kinds of phrases are hard, what is usual, and the failures, of one model or of two."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from captioning.boxes import Box
from captioning.data.phrases import Phrase
from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.atomic import write_whole
from captioning.metrics.box_scores import OVERLAP, overlap
from captioning.metrics.scores import Scores
from captioning.reports.boxes_page import Group, Guess, LocatedPhrase, boxes_page
from captioning.tasks.base import Rival

SHOWN = 12  # phrases of each group
ALONE = "found"

Predictions = Mapping[int | str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Judged:
    """A phrase, and what each model found of it."""

    example: Example
    phrase: Phrase
    guesses: tuple[Guess, ...]

    @property
    def right(self) -> tuple[bool, ...]:
        return tuple(guess.overlap >= OVERLAP for guess in self.guesses)

    @property
    def sure(self) -> float:
        """How sure the less sure one is."""
        return min(guess.box.score for guess in self.guesses)


def write_boxes(
    path: Path,
    examples: Sequence[Example],
    source: Source,
    predictions: Predictions,
    scores: Scores,
    *,
    title: str,
    name: str = ALONE,
    against: Rival | None = None,
) -> Path:
    """Writes the page and returns its path. Phrases drawn by lot show what is usual, failures what is not.

    With `against` each photo shows the boxes of both models, `name` and the other.
    """
    each = {name: (predictions, scores)}
    if against is not None:
        each[against.name if against.name != name else f"{name} (2)"] = (against.predictions, against.scores)
    judged = judge(examples, [found for found, _ in each.values()])
    groups = [
        Group(heading, rule, [panel(source, one, tuple(each)) for one in those])
        for heading, rule, those in (grouped(judged) if against is None else compared(judged, *each))
    ]
    return write_whole(path, boxes_page(title, {key: one for key, (_, one) in each.items()}, groups))


def judge(examples: Sequence[Example], models: Sequence[Predictions]) -> list[Judged]:
    """Every phrase that all models were asked, in the order of the examples."""
    judged = []
    for example in examples:
        if not all(example.id in found for found in models):
            continue
        answers = [found[example.id] for found in models]
        for phrase, *those in zip(getattr(example, "phrases", ()), *answers, strict=True):
            boxes = [Box(*found["box"], phrase.text, found["score"]) for found in those]
            ious = [overlap(box.corners, phrase.boxes) if phrase.boxes else 0.0 for box in boxes]
            judged.append(Judged(example, phrase, tuple(map(Guess, boxes, ious))))
    return judged


def grouped(judged: Sequence[Judged]) -> list[tuple[str, str, list[Judged]]]:
    """What is shown of one model: heading, the rule by which it was chosen, phrases."""
    there = [one for one in judged if one.phrase.boxes]
    wrong = [one for one in there if not one.right[0]]
    absent = [one for one in judged if not one.phrase.boxes]
    return [
        ("Drawn by lot", f"{SHOWN} of all {len(there):,} phrases, right or wrong.", by_lot(there, 0)),
        ("Wrong, and sure of it", f"The {SHOWN} most probable of {len(wrong):,} wrong boxes.", surest(wrong)),
        ("Wrong, drawn by lot", f"{SHOWN} of {len(wrong):,} wrong boxes.", by_lot(wrong, 1)),
        ("Not there, and yet found", f"The most probable of {len(absent):,} phrases not there.", surest(absent)),
    ]


def compared(judged: Sequence[Judged], one: str, other: str) -> list[tuple[str, str, list[Judged]]]:
    """What is shown of two models: heading, the rule by which it was chosen, phrases."""
    there = [each for each in judged if each.phrase.boxes]
    absent = [each for each in judged if not each.phrase.boxes]
    groups = [("Drawn by lot", f"{SHOWN} of all {len(there):,} phrases, right or wrong.", by_lot(there, 0))]
    cases = ((f"Only {one} is right", (True, False)), (f"Only {other} is right", (False, True)))
    for seed, (heading, case) in enumerate((*cases, ("Both are wrong", (False, False))), 1):
        those = [each for each in there if each.right == case]
        groups.append((heading, f"{SHOWN} of {len(those):,} such phrases, drawn by lot.", by_lot(those, seed)))
    wrong = [each for each in there if not any(each.right)]
    rule = f"Of {len(wrong):,} phrases those of which the less sure model is surest."
    groups.append(("Both are wrong, and sure of it", rule, surest(wrong)))
    rule = f"Of {len(absent):,} phrases about other photos those of which the less sure model is surest."
    return [*groups, ("Not there, and yet found by both", rule, surest(absent))]


def by_lot(judged: Sequence[Judged], seed: int) -> list[Judged]:
    return random.Random(seed).sample(judged, min(SHOWN, len(judged)))


def surest(judged: Sequence[Judged]) -> list[Judged]:
    return sorted(judged, key=lambda one: -one.sure)[:SHOWN]


def panel(source: Source, judged: Judged, names: Sequence[str]) -> LocatedPhrase:
    """One phrase on the page. A picture that cannot be read, or is none, is a grey one."""
    try:
        picture = source.image(judged.example)
    except UserError:
        picture = Image.new("RGB", (320, 240), "grey")
    phrase = judged.phrase
    found = dict(zip(names, judged.guesses, strict=True))
    return LocatedPhrase(str(judged.example.id), picture, phrase.text, phrase.kind, found, phrase.boxes)
