"""Examples of one split, of several, or of all that are there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example

log = logging.getLogger("captioning")


def examples_of(source: Source, splits: Sequence[str] | None) -> list[Example]:
    """The examples of several splits, or of all that are there; of those that are not, a warning says why."""
    found: dict[int | str, Example] = {}
    for split in splits or source.splits:
        try:
            found |= {example.id: example for example in source.examples(split)}
        except UserError as error:
            if splits:
                raise
            log.warning(f"without the split {split}: {error}")
    if not found:
        raise UserError(f"{source.name}: there is nothing to extract, every split is missing")
    return list(found.values())


def chosen_examples(source: Source, split: str) -> list[Example]:
    """The examples of one split, of several with a plus sign between them, or of all that are there."""
    if split == "all":
        return examples_of(source, None)
    return examples_of(source, split.split("+")) if "+" in split else source.examples(split)
