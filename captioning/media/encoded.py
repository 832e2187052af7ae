"""A photo as its file has it, wherever that lies. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class EncodedPicture:
    """The bytes of a photo's file, wherever they lie: in memory, or what fetches them when they are wanted."""

    name: str  # in messages
    content: bytes | Callable[[], bytes]

    def bytes(self) -> bytes:
        """Raises UserError where they cannot be fetched."""
        return self.content() if callable(self.content) else self.content
