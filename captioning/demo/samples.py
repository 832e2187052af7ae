"""Pictures to try the page with: everyday photos that come with the package, see photos/CREDITS.md."""

from __future__ import annotations

import shutil
from pathlib import Path

PHOTOS = Path(__file__).parent / "photos"


def sample_pictures(folder: Path) -> list[Path]:
    """Files in `folder` to choose from, copied into it."""
    return [Path(shutil.copy(path, folder)) for path in sorted(PHOTOS.glob("*.jpg"))]
