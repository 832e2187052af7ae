"""Where the pictures go that commands draw on photos with --output."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from captioning.errors import UserError
from captioning.files.atomic import unused_name

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


class Drawings:
    """Photos with what was found drawn on them: one picture's file, or a folder with one for each."""

    def __init__(self, place: Path, *, several: bool):
        """Makes the folder. Raises UserError where that cannot be, or one file would hold several photos."""
        self.file = place if place.suffix.lower() in ENDINGS else None
        if self.file and several:
            raise UserError(f"--output {place} is one picture, and there are several photos: name a folder")
        self.folder = place.parent if self.file else place
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--output {place}: {error.strerror}. Choose a place that can be written") from None
        self.taken: set[str] = set()

    def write(self, file: Path, draw: Callable[[Image], Image]) -> None:
        """Draws one photo. Raises UserError where it cannot be written."""
        from captioning.media.images import open_image

        path = self.file or self.folder / f"{unused_name(file.stem, self.taken)}.png"
        try:
            draw(open_image(file)).save(path)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be written ({error}): choose another place with --output") from None
