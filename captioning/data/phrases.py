"""Phrases and where in a picture is what they mean: what every source of them shares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from captioning.boxes import Corners
from captioning.data.defects import says_something
from captioning.data.file_source import Photos
from captioning.errors import UserError
from captioning.example import Example


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
            there. They are such whose last word neither a phrase nor a caption of the picture has.
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


def with_absent(examples: Sequence[PhrasedExample], count: int) -> list[PhrasedExample]:
    """Each picture with `count` phrases of others behind its own, always the same ones; fewer where few suit it."""
    pool = [phrase for phrase in all_phrases(examples) if not phrase.absent]
    found = []
    for example in examples:
        own = set(words_of(" ".join([*example.captions, *(phrase.text for phrase in example.phrases)])))
        chosen: dict[str, Phrase] = {}
        for attempt in range(20 * count):
            digest = hashlib.sha256(f"{example.id}/{attempt}".encode()).digest()
            phrase = pool[int.from_bytes(digest[:8], "big") % len(pool)]
            words = words_of(phrase.text)
            if words and words[-1] not in own:
                number = f"{example.id}/absent/{len(chosen)}"
                chosen.setdefault(" ".join(words), Phrase(number, phrase.text, (), phrase.kind, absent=True))
            if len(chosen) == count:
                break
        found.append(replace(example, phrases=(*example.phrases, *chosen.values())))
    return found


def words_of(text: str) -> list[str]:
    """Its words in lower case, without what is no letter or digit; a plural s is no difference."""
    kept = "".join(letter if letter.isalnum() else " " for letter in text.lower())
    return [word.removesuffix("s") or word for word in kept.split()]
