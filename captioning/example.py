"""One picture or clip of a data set, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """One picture or clip and what people said of it. Holds no pixels: they are read when they are needed.

    `file` is where it lies, from the root of its source. `boxes` are (x1, y1, x2, y2) in [0, 1] with one name each in
    `labels`, where the source knows them. A source of another task's examples (questions, phrases) has a subclass with
    fields of its own.
    """

    id: int | str
    file: str
    captions: tuple[str, ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    labels: tuple[str, ...] = ()
