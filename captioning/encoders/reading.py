"""What an encoder reads of an example's picture or clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from captioning.data.source import Source
from captioning.example import Example

if TYPE_CHECKING:
    from captioning.encoders.base import Encoder


def read_example(encoder: Encoder, source: Source, example: Example, *, seed: int | str | None = None) -> Any:
    """What the encoder reads of an example's picture, or of its clip, sound or depth if it takes those.

    `seed` is for encoders that look at random frames; without one they look where they always do.
    Raises UserError naming the file where it cannot be read.
    """
    if encoder.takes == "image":
        return encoder.read_annotated(source.image(example), example)
    if encoder.takes == "sound":
        return encoder.read(source.sound(example))
    if encoder.takes == "depth":
        return encoder.read(source.depth(example))
    clip = source.clip(example)
    return encoder.read(clip if seed is None else clip.seeded(seed))
