"""Where the pictures go that commands draw on photos with --output."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from captioning.errors import UserError
from captioning.files.atomic import unused_name

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


class Drawings:
    """Photos with what was found drawn on them: one picture's file, or a folder with one for each."""

    def __init__(self, place: Path, files: Sequence[Path]):
        """Makes the folder for drawings of `files`. Raises UserError where that cannot be, one file would hold several
        photos, or a drawing would take the place of one of the photos."""
        single = place.suffix.lower() in ENDINGS
        if single and len(files) > 1:
            raise UserError(f"--output {place} is one picture, and there are several photos: name a folder")
        folder = place.parent if single else place
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--output {place}: {error.strerror}. Choose a place that can be written") from None
        taken: set[str] = set()
        self.paths = {file: place if single else folder / f"{unused_name(file.stem, taken)}.png" for file in files}
        photos = {os.path.realpath(file) for file in files}
        for path in self.paths.values():
            if os.path.realpath(path) in photos:
                raise UserError(f"--output {place}: {path} is one of the photos, and would be lost. Name another place")

    def write(self, file: Path, draw: Callable[[Image], Image]) -> None:
        """Draws one photo. Raises UserError where it cannot be written."""
        from captioning.media.images import open_image

        path = self.paths[file]
        try:
            draw(open_image(file)).save(path)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be written ({error}): choose another place with --output") from None
