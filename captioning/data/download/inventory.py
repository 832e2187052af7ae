"""`captioning data check NAME`: what of a benchmark is there, what is missing, and where it belongs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from captioning.data.defects import missing_files
from captioning.data.source import Source
from captioning.errors import UserError

log = logging.getLogger("captioning")


@dataclasses.dataclass(frozen=True)
class SplitCheck:
    """What was found of a split; `remedy` is None where nothing is missing."""

    split: str
    captioned: int
    expected: int | None = None  # of the official split
    missing: Sequence[str] = ()  # files of pictures
    remedy: str | None = None

    def __str__(self) -> str:
        of = f" of {self.expected:,}" if self.expected is not None and self.expected != self.captioned else ""
        line = f"{self.split:<6} {self.captioned:,}{of} captioned"
        if self.missing:
            there = self.captioned - len(self.missing)
            line += f", {there:,} there, {len(self.missing):,} missing, the first is {self.missing[0]}"
        elif self.captioned:
            line += ", all there"
        return f"{line}. {self.remedy}" if self.remedy else line


def check_source(source: Source) -> list[SplitCheck]:
    """Every split of a source, read and counted."""
    return [check_split(source, split) for split in source.splits]


def check_split(source: Source, split: str) -> SplitCheck:
    """Reads the captions of a split, and looks whether its pictures are there."""
    expected = source.official.get(split)
    root = getattr(source, "root", None)  # pictures that come from no folder cannot be missing from it
    try:
        examples = source.examples(split) if root is None else source.read(split)
    except UserError as error:
        return SplitCheck(split, 0, expected, remedy=" ".join(str(error).split("\n")))
    absent = missing_files(Path(root), (one.file for one in examples)) if root is not None else set()
    missing = [one.file for one in examples if one.file in absent]
    remedy = None
    if missing:
        remedy = f"{source.remedy()}."
    elif expected is not None and len(examples) < expected:
        remedy = "Take the official files."
    return SplitCheck(split, len(examples), expected, missing, remedy)
