"""What stands for a clip where a picture could stand."""

from __future__ import annotations

import os
from typing import Any

from captioning.media.clip import Clip
from captioning.media.kinds import is_clip, is_moving
from captioning.media.pictures import as_picture, is_address


def is_clip_input(image: Any) -> bool:
    """Whether something is a clip, or the file of one, rather than a picture."""
    if isinstance(image, str) and is_address(image):
        return False
    return isinstance(image, Clip) or (isinstance(image, (str, os.PathLike)) and is_clip(image))


def as_clip(image: Any) -> Clip:
    """A clip as it is, a clip's or a GIF's file opened, and anything that stands for a picture as a clip of one frame.

    A file is looked at in a process with limits. Raises UserError where it is none of these.
    """
    if isinstance(image, Clip):
        return image
    if isinstance(image, (str, os.PathLike)) and not is_address(str(image)) and is_moving(image):
        return Clip.open(image, confined=True)
    return Clip.of([as_picture(image)], fps=1.0)
