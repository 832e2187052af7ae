"""Pictures that are also heard, measured or seen in motion: what sources of several senses share."""

from __future__ import annotations

from dataclasses import dataclass

from captioning.example import Example

SENSES = ("sound", "depth", "motion")  # beside image and text


@dataclass(frozen=True, slots=True)
class SensedExample(Example):
    """An example of which its source also has further `senses`: `Source.sound`, `.depth`, or `.clip` for motion."""

    senses: tuple[str, ...] = ()
