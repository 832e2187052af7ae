"""Phrases and where in a picture is what they mean: what every source of them shares."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

from captioning.boxes import Corners
from captioning.data.defects import says_something
from captioning.data.file_source import Photos
from captioning.errors import UserError
from captioning.example import Example

TWICE, ALIKE = 2, 0.1  # how often two names have to be given to the same boxes to be taken for one thing's


@dataclass(frozen=True, slots=True)
class Phrase:
    """What a person calls something, and where in the picture that is.

    `boxes` are corners in [0, 1], several where several things are meant; none where `absent` is True: what is meant
    is not in the picture. `kind` is that of the thing ("people"), where the source knows it.
    """

    id: int | str
    text: str
    boxes: tuple[Corners, ...] = ()
    kind: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True)
class PhrasedExample(Example):
    """A picture and the phrases about it, which are its rows."""

    phrases: tuple[Phrase, ...] = ()


def grouped(located: Iterable[tuple[int | str, str, Phrase]]) -> list[PhrasedExample]:
    """(picture's id, its file, phrase) in any order -> a picture each, in the order of their first phrases."""
    files: dict[int | str, str] = {}
    phrases: dict[int | str, list[Phrase]] = {}
    for picture, file, phrase in located:
        files.setdefault(picture, file)
        phrases.setdefault(picture, []).append(phrase)
    return [PhrasedExample(one, files[one], (), phrases=tuple(those)) for one, those in phrases.items()]


def all_phrases(examples: Iterable[Example]) -> Iterator[Phrase]:
    """The phrases of all pictures, one after the other."""
    for example in examples:
        yield from getattr(example, "phrases", ())


class PhrasePhotos(Photos):
    """Photos on disk and phrases located in them. A subclass reads one layout, as it does of `Photos`.

    Args:
        absent: phrases about other pictures of the split that each picture is given besides: what they mean is not
            there (see `OtherPhrases`).
    """

    metrics: tuple[str, ...] = ("boxes",)

    def __init__(self, *arguments, absent: int = 0, **options) -> None:
        super().__init__(*arguments, **options)
        if absent < 0:
            raise UserError(f"data.absent={absent}: it is 0 or more")
        self.absent = absent

    def split_of(self, name: str) -> str:
        """The one of `splits` that a name means. Raises UserError for none."""
        from captioning.data.file_source import split_name

        known = name if name in self.splits else split_name(name)
        if known not in self.splits:
            raise UserError(f"{self.name} has no split {name!r}. Its splits are {', '.join(self.splits)}.")
        return known

    def examples(self, split: str) -> list[Example]:
        """All pictures of a split with a located phrase, in the order of its file.

        Raises:
            UserError: the split is unknown or empty, a file is not what the layout says, or, unless
                `on_missing="skip"`, a phrase is empty or a photo is missing.
        """
        known = self.split_of(str(split))
        if known not in self._examples:
            where = self.annotations(known)
            examples = self.checks.present(self.root, self._phrased(where, self.read(known)), known, self.remedy())
            if not examples:
                raise UserError(f"{where}: split {known} locates nothing in a photo. Choose another split or file.")
            self._examples[known] = with_absent(examples, self.absent) if self.absent else examples
        return list(self._examples[known])

    def texts(self, examples: Sequence[Example]) -> list[str]:
        """The phrases: what a vocabulary counts words in."""
        return [phrase.text for phrase in all_phrases(examples)]

    def _phrased(self, where: Path, examples: Sequence[PhrasedExample]) -> list[PhrasedExample]:
        """The pictures that have phrases, without the empty ones."""
        silent = [f"{p.id!r} of {one.file}" for one in examples for p in one.phrases if not says_something(p.text)]
        total = sum(len(one.phrases) for one in examples)
        self.checks.report(where, silent, total, "phrases", "empty", "Write or remove them")
        kept = [
            replace(one, phrases=tuple(p for p in one.phrases if says_something(p.text))) if silent else one
            for one in examples
        ]
        return [one for one in kept if one.phrases]


class OtherPhrases:
    """Phrases of a split's pictures for other pictures of it, in which what they mean is not there.

    What a phrase means is told by its last word. It is taken to be there where a caption or phrase of the picture has
    that word, or names something that people call so elsewhere: two names may mean one thing where they are given to
    the same boxes, at least twice and for a share of ALIKE of what the rarer one names (man, person; bike, bicycle).
    """

    def __init__(self, examples: Sequence[Example]):
        self.all = [phrase for phrase in all_phrases(examples) if not phrase.absent]
        self.of_kind: dict[str, list[Phrase]] = defaultdict(list)
        for phrase in self.all:
            self.of_kind[phrase.kind].append(phrase)
        self.alike = names_alike(examples)

    def names_there(self, example: Example) -> set[str]:
        """The words that may name something in a picture."""
        phrases = [phrase.text for phrase in getattr(example, "phrases", ()) if not phrase.absent]
        names = [words[-1] for words in map(words_of, phrases) if words]
        there = set(words_of(" ".join([*example.captions, *phrases])))
        return there.union(*(self.alike.get(name, ()) for name in names))

    def chosen(self, example: Example, count: int, pick: Callable[[int, list[Phrase]], Phrase]) -> list[Phrase]:
        """`count` phrases that mean nothing in a picture, no two the same; fewer where few suit it.

        `pick` gives the phrase to try, of the attempt's number and all there are.
        """
        there = self.names_there(example)
        found: dict[str, Phrase] = {}
        for attempt in range(20 * count):
            phrase = pick(attempt, self.all)
            words = words_of(phrase.text)
            if words and words[-1] not in there:
                number = f"{example.id}/absent/{len(found)}"
                found.setdefault(" ".join(words), Phrase(number, phrase.text, (), phrase.kind, absent=True))
            if len(found) == count:
                break
        return list(found.values())

    def drawn(self, example: Example, count: int, seed: str) -> list[Phrase]:
        """As `chosen`, by lot: half of the kinds of what is in the picture, for these are harder to tell from it."""
        dice = random.Random(seed)
        kinds = [phrase.kind for phrase in getattr(example, "phrases", ()) if not phrase.absent]

        def pick(attempt: int, everything: list[Phrase]) -> Phrase:
            return dice.choice(self.of_kind[dice.choice(kinds)] if attempt % 2 and kinds else everything)

        return self.chosen(example, count, pick) if self.all else []


def with_absent(examples: Sequence[PhrasedExample], count: int) -> list[PhrasedExample]:
    """Each picture with `count` phrases of others behind its own, always the same ones; fewer where few suit it."""
    others, found = OtherPhrases(examples), []
    for example in examples:

        def pick(attempt: int, everything: list[Phrase], key: int | str = example.id) -> Phrase:
            digest = hashlib.sha256(f"{key}/{attempt}".encode()).digest()
            return everything[int.from_bytes(digest[:8], "big") % len(everything)]

        found.append(replace(example, phrases=(*example.phrases, *others.chosen(example, count, pick))))
    return found


def names_alike(examples: Iterable[Example]) -> dict[str, set[str]]:
    """Of each last word of a phrase those that may mean the same thing, by what people call the same boxes."""
    times: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    for example in examples:
        named = defaultdict(set)
        for phrase in getattr(example, "phrases", ()):
            if phrase.boxes and (words := words_of(phrase.text)):
                named[phrase.boxes].add(words[-1])
        for names in named.values():
            times.update(names)
            together.update(permutations(names, 2))
    alike: dict[str, set[str]] = defaultdict(set)
    for (one, other), count in together.items():
        if count >= max(TWICE, ALIKE * min(times[one], times[other])):
            alike[one].add(other)
    return dict(alike)


def words_of(text: str) -> list[str]:
    """Its words in lower case, without what is no letter or digit; a plural s is no difference."""
    kept = "".join(letter if letter.isalnum() else " " for letter in text.lower())
    return [word.removesuffix("s") or word for word in kept.split()]
