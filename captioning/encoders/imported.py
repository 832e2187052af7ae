"""Stands where an encoder would, for a model that learns from features which somebody else extracted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.memory import VisualMemory

if TYPE_CHECKING:
    from PIL.Image import Image


class Imported(Encoder):
    """Knows how wide imported features are and what they are called, and cannot look at a photo.

    `width` and `name` are those of a store that `captioning extract import=PATH` made; training takes them from there.
    """

    size = None

    def __init__(self, *, width: int | None = None, name: str | None = None):
        super().__init__()
        if type(width) is not int or width < 1:
            raise UserError("encoder=imported needs store=DIR, which `captioning extract import=PATH store=DIR` makes")
        self.width, self.name = width, name

    def read(self, image: Image) -> Any:
        """Raises UserError: there is nothing here that sees."""
        raise UserError(
            f"this model was trained on imported features ({self.name}) and has no encoder, so it cannot look at a "
            f"photo. It captions what it has features of: captioning evaluate model=... data=... store=DIR"
        )

    def forward(self, pictures: Any) -> VisualMemory:
        """Raises UserError, as `read` does."""
        return self.read(pictures)


def configuration(width: int, name: str) -> dict:
    """The encoder of imported features as plain data."""
    return {"_target_": f"{Imported.__module__}.{Imported.__qualname__}", "width": width, "name": name}
