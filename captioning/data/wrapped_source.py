"""A source around another, whose pictures are the other's, or made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from captioning.data.defects import Checks
from captioning.data.source import Source
from captioning.example import Example

if TYPE_CHECKING:
    from PIL.Image import Image

    from captioning.media.clip import Clip


class WrappedSource(Source):
    """Everything as `source` has it; a subclass changes what it changes.

    `on_missing` is what is done about pictures that cannot be read; None as the source does.
    """

    def __init__(self, source: Source, *, on_missing: str | None = None):
        self.source = source
        self.name, self.splits, self.metrics, self.things = source.name, source.splits, source.metrics, source.things
        self.official: Mapping[str, int] = {}  # counts of photos, which need not be those of examples
        self.checks = Checks(on_missing) if on_missing is not None else getattr(source, "checks", Checks())

    def examples(self, split: str) -> list[Example]:
        return self.source.examples(split)

    def image(self, example: Example) -> Image:
        return self.source.image(example)

    def clip(self, example: Example) -> Clip:
        return self.source.clip(example)

    def place(self) -> str:
        return self.source.place()

    def fingerprint(self, example: Example) -> str | None:
        return self.source.fingerprint(example)

    def content(self, example: Example) -> str | None:
        return self.source.content(example)

    def distinct(self, examples: Sequence[Example]) -> list[Example]:
        return self.source.distinct(examples)

    def readable(self, examples: Sequence[Example], *, decode: bool = False) -> list[Example]:
        return self.source.readable(examples, decode=decode)


def innermost(source: Source) -> Source:
    """The source that has the files."""
    while isinstance(source, WrappedSource):
        source = source.source
    return source
