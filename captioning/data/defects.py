"""What can be wrong with captioned photos, found and said in one way for every layout they come in."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from captioning.errors import UserError
from captioning.example import Example
from captioning.media.kinds import kind_of

log = logging.getLogger("captioning")

ON_MISSING = ("error", "skip", "ignore")
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True)
class Checks:
    """Finds what is wrong and raises UserError with the count, the total, the first example and the remedy.

    With `on_missing="skip"` the same sentence is logged once as a warning and what is wrong is left out. With
    `"ignore"` photos are not looked for, which serves where features are stored or only the captions are wanted.
    """

    on_missing: str = "error"

    def __post_init__(self) -> None:
        if self.on_missing not in ON_MISSING:
            raise UserError(f"data.on_missing: {self.on_missing!r} is none of {', '.join(ON_MISSING)}.")

    def report(self, where: object, found: Sequence[object], total: int, what: str, state: str, remedy: str) -> None:
        """Says that of `total` things (`what`, in the plural) those `found` are in a wrong `state`."""
        if not found:
            return
        verb = "is" if len(found) == 1 else "are"
        message = f"{where}: {len(found):,} of {total:,} {what} {verb} {state}, the first is {found[0]}."
        if self.on_missing == "skip":
            log.warning("%s Left out.", message)
        else:
            raise UserError(f"{message}\n{remedy}, or set data.on_missing=skip.")

    def official(self, where: object, split: str, found: int, expected: int, what: str) -> None:
        """Says where a split has not as many things (`what`, in the plural) as the one that scores are about."""
        if found == expected:
            return
        message = f"{where}: split {split} has {found:,} {what} where the official one has {expected:,}."
        if self.on_missing == "skip":
            log.warning("%s Scores on it compare with nobody's.", message)
        else:
            raise UserError(f"{message}\nTake the official files, or set data.on_missing=skip.")

    def unique(self, where: object, items: Iterable[tuple[Key, Value]], what: str) -> dict[Key, Value]:
        """The items by key. Of several under one key the first is kept."""
        kept: dict[Key, Value] = {}
        repeated: list[Key] = []
        for key, value in items:
            if key in kept:
                repeated.append(key)
            else:
                kept[key] = value
        total = len(kept) + len(repeated)
        self.report(where, repeated, total, what, "given twice", "Keep one of each")
        return kept

    def captioned(self, where: object, examples: Iterable[Example], split: str) -> list[Example]:
        """The examples without empty captions, and without those that have no other caption."""
        kept: list[Example] = []
        silent: list[str] = []
        empty: list[str] = []
        captions = 0
        examples = list(examples)
        for example in examples:
            captions += len(example.captions)
            spoken = tuple(filter(says_something, example.captions))
            if len(spoken) < len(example.captions):
                empty += [f"one of {example.file}"] * (len(example.captions) - len(spoken))
                example = replace(example, captions=spoken)
            elif not spoken:
                silent.append(example.file)
            if spoken:
                kept.append(example)
        self.report(where, empty, captions, f"captions of split {split}", "empty", "Write or remove them")
        what = f"{kind_of(example.file for example in examples)} of split {split}"
        self.report(where, silent, len(examples), what, "without a caption", "Caption or remove them")
        return kept

    def present(self, root: Path, examples: Sequence[Example], split: str, remedy: str) -> list[Example]:
        """The examples whose photo is there."""
        if self.on_missing == "ignore":
            return list(examples)
        missing = missing_files(root, (example.file for example in examples))
        names = [example.file for example in examples if example.file in missing]
        what = f"captioned {kind_of(example.file for example in examples)}"
        self.report(root, names, len(examples), what, f"missing (split {split})", remedy)
        return [example for example in examples if example.file not in missing]


def says_something(caption: str) -> bool:
    """Whether a caption holds a letter or a digit: blanks and punctuation alone leave no word to learn."""
    return any(map(str.isalnum, caption))


def missing_files(root: Path, files: Iterable[str]) -> set[str]:
    """Those of the files under `root` that are not there."""
    # A second look at what is not listed, because some file systems take several spellings of a name but list one.
    return {file for file in unlisted_files(root, files) if not os.path.exists(root / file)}


def unlisted_files(root: Path, files: Iterable[str]) -> set[str]:
    """Those of the files under `root` that no folder lists. Lists each folder once: asking file by file is slow."""
    unlisted: set[str] = set()
    listings: dict[str, set[str]] = {}
    for file in files:
        folder, name = os.path.split(file)
        if folder not in listings:
            listings[folder] = _listing(root / folder)
        if name not in listings[folder]:
            unlisted.add(file)
    return unlisted


def _listing(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:  # not there, not a folder, or forbidden: none of its files can be read
        return set()
