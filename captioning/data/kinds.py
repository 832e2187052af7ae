"""Photo or clip, by the name of a file."""

from __future__ import annotations

import os
from collections.abc import Iterable

CLIP_EXTENSIONS = (
    ".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".3gp", ".3g2", ".flv",
    ".wmv", ".asf", ".ogv", ".vob", ".mxf",
)  # fmt: skip


def is_clip(file: str | os.PathLike[str]) -> bool:
    """Whether a file is a clip by its extension, in upper or lower case."""
    return os.fspath(file).lower().endswith(CLIP_EXTENSIONS)


def kind_of(files: Iterable[str]) -> str:
    """What messages call these files: clips, photos, or photos and clips."""
    kinds = {is_clip(file) for file in files}
    return "photos and clips" if len(kinds) > 1 else "clips" if True in kinds else "photos"
