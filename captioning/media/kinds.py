"""Photo or clip, by the name of a file."""

from __future__ import annotations

import os
from collections.abc import Iterable

from captioning.media.clip import VIDEO_EXTENSIONS
from captioning.media.images import IMAGE_EXTENSIONS

# A GIF is a photo to a model of photos, as it always was; a model of clips opens it as a clip.
CLIP_EXTENSIONS = tuple(extension for extension in VIDEO_EXTENSIONS if extension not in IMAGE_EXTENSIONS)


def is_clip(file: str | os.PathLike[str]) -> bool:
    """Whether a file is a clip by its extension, in upper or lower case."""
    return os.fspath(file).lower().endswith(CLIP_EXTENSIONS)


def kind_of(files: Iterable[str]) -> str:
    """What messages call these files: clips, photos, or photos and clips."""
    kinds = {is_clip(file) for file in files}
    return "photos and clips" if len(kinds) > 1 else "clips" if True in kinds else "photos"
