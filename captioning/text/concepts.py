"""What things are called: COCO's objects, everyday nouns for ImageNet's classes, and where a caption names them.

The words lie beside this file as plain tables. A *concept* is one of the names: COCO's 80 classes first, then what only
a classifier knows. "African elephant" and "a baby elephant" are both the concept elephant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
ANIMAL_CLASSES = 398  # of ImageNet, its first
VEHICLES = ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat")
COLOURS = frozenset("black white red blue green yellow brown grey gray pink purple orange".split())
# what may follow the fruit and does not follow the colour
AFTER_A_FRUIT = frozenset(
    "is are was in on at of with next near beside by that which sits sitting lies laying cut sliced slices tree".split()
)


class Mention(NamedTuple):
    """A place in a caption that names something."""

    start: int  # the first word
    length: int  # in words
    names: frozenset[str]  # what it may stand for; of most words one thing


@cache
def coco_objects() -> dict[str, tuple[str, ...]]:
    """COCO's 80 classes in the order of its instances -> further words for each, in the singular."""
    return _table("coco_objects.txt")


@cache
def concepts() -> dict[str, tuple[str, ...]]:
    """Every concept -> further words for it. A concept's number is its place here; the first 80 are COCO's."""
    return coco_objects() | _table("other_objects.txt")


@cache
def imagenet_nouns() -> tuple[str | None, ...]:
    """The concept of each of ImageNet's 1,000 classes; None where people would not name it."""
    nouns = (line.rsplit("\t", 1)[1] for line in _lines("imagenet_nouns.txt"))
    return tuple(None if noun == "-" else noun for noun in nouns)


@cache
def animals() -> frozenset[str]:
    """The concepts that are animals: those of ImageNet's first classes, COCO's among them."""
    return frozenset(noun for noun in imagenet_nouns()[:ANIMAL_CLASSES] if noun) | frozenset(ANIMALS)


@cache
def kin() -> dict[str, str]:
    """Concepts that captions seldom name -> a common word in whose place their name may stand: "lion" in a bear's."""
    return {name: words[0] for name, words in _table("kin.txt").items()}


class Namer:
    """Finds what captions name, by a table of names and further words; plurals are found by rule."""

    def __init__(self, table: Mapping[str, Sequence[str]]):
        phrases: dict[tuple[str, ...], set[str]] = {}
        for name, words in table.items():
            for phrase in (name, *words, *_with_ages(name, words)):
                for spelling in (phrase, *plurals(phrase)):
                    phrases.setdefault(tuple(spelling.split()), set()).add(name)
        self.phrases = {phrase: frozenset(names) for phrase, names in phrases.items()}
        self.longest = max(map(len, self.phrases))

    def __call__(self, words: Sequence[str]) -> list[Mention]:
        """The mentions in a tokenized caption, in order; where several begin at one word the longest."""
        return list(self._mentions(list(words)))

    def _mentions(self, words: list[str]) -> Iterator[Mention]:
        start = 0
        while start < len(words):
            for length in range(min(self.longest, len(words) - start), 0, -1):
                names = self.phrases.get(tuple(words[start : start + length]))
                if names and not _is_a_colour(words, start, length):
                    yield Mention(start, length, names)
                    start += length
                    break
            else:
                start += 1


@cache
def coco_namer() -> Namer:
    """Finds COCO's 80 objects."""
    return Namer(coco_objects())


@cache
def concept_namer() -> Namer:
    """Finds all concepts."""
    return Namer(concepts())


def plurals(phrase: str) -> list[str]:
    """How a phrase may be written of several: "bus" -> "buses", "buss"; irregular ones stand in the tables."""
    start, _, word = phrase.rpartition(" ")
    endings = [word + "s"]
    if word.endswith(("s", "x", "ch", "sh", "ato")):
        endings.append(word + "es")
    elif word.endswith("y") and word[-2:-1] not in "aeiou":
        endings.append(word[:-1] + "ies")
    elif word.endswith("fe"):
        endings.append(word[:-2] + "ves")
    return [f"{start} {ending}".strip() for ending in endings]


def _with_ages(name: str, words: Iterable[str]) -> list[str]:
    """A baby elephant is no baby, and a passenger train no passenger (after Rohrbach et al. 2018)."""
    before = ("baby", "adult") if name in ANIMALS else ("passenger",) if name in VEHICLES else ()
    return [f"{word} {noun}" for word in before for noun in (name, *words)]


def _is_a_colour(words: Sequence[str], start: int, length: int) -> bool:
    """Whether the words are the "orange" of an orange shirt, or of orange and white."""
    if length != 1 or words[start] != "orange":
        return False
    after = words[start + 1 : start + 3]
    if after[:1] in (["and"], ["or"]):
        return after[1:] == [] or after[1] in COLOURS
    return bool(after) and after[0] not in AFTER_A_FRUIT


def _lines(file: str) -> list[str]:
    text = (Path(__file__).parent / file).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _table(file: str) -> dict[str, tuple[str, ...]]:
    pairs = (line.split(":", 1) for line in _lines(file))
    return {name: tuple(word.strip() for word in words.split(",") if word.strip()) for name, words in pairs}
