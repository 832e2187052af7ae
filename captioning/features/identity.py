"""What tells the pictures of a store apart: where they lie, how large and how old they are, or else their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from captioning.data.source import Source
from captioning.encoders.base import Encoder
from captioning.example import Example


class Known(Protocol):
    """What tells a picture from others of its id, as two numbers of 64 bits: fast to know, and to be read."""

    @property
    def place(self) -> int: ...

    @property
    def content(self) -> int: ...


UNKNOWN = 0  # in the place of a number: nothing is known that could be compared


@dataclass(frozen=True)
class Identity:
    """One picture as its source knows it, and what else the encoder reads of it."""

    source: Source
    example: Example
    annotated: bool = False  # whether the encoder also reads boxes and labels

    @cached_property
    def place(self) -> int:
        """64 bits of what the source says without reading the picture."""
        return self._number(self.source.fingerprint(self.example))

    @cached_property
    def content(self) -> int:
        """64 bits of the picture itself, which stay when it is copied elsewhere. Reads it once."""
        return self._number(self.source.content(self.example))

    def _number(self, text: str | None) -> int:
        if text is None:
            return UNKNOWN
        if self.annotated:
            text = f"{text} {self.example.boxes} {self.example.labels}"
        return number_of(text)


def identities(source: Source, encoder: Encoder, examples: Iterable[Example]) -> dict[int | str, Identity]:
    """The pictures of `examples` by id."""
    annotated = any(getattr(part, "reads_annotations", False) for part in encoder.modules())
    return {example.id: Identity(source, example, annotated) for example in examples}


def number_of(text: str) -> int:
    """64 bits of a text, never UNKNOWN."""
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little") or 1
