"""What a scene of the generated world holds, and what a statement about it is."""

from __future__ import annotations

from dataclasses import dataclass

from captioning.data.synthetic.rendering import Thing


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence and the facts it states. A fact is a name, the groups it is about by number, and maybe a value:

    ("count", 0, 2), ("colour", 0, "red"), ("shape", 0, "star"), ("size", 0, "small"), ("place", 0, (column, row)),
    ("line", 0, "row" or "column"), ("left_of", 0, 1), ("above", 0, 1), ("next_to", 0, 1), ("between", 1, 0, 2),
    ("total", 4). "left_of" and "above" hold for every thing of the one group and every thing of the other.
    """

    text: str
    facts: tuple[tuple, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Things of one kind in a line, which a caption counts as one. `cells` are (column, row), from the top left."""

    colour: str
    shape: str
    size: str
    cells: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """Groups from left to right (`horizontal`: each a column) or from top to bottom (each a row).

    `things` are the members of the groups, group by group, as they are drawn.
    """

    groups: tuple[Group, ...]
    horizontal: bool
    things: tuple[Thing, ...]
    statements: tuple[Statement, ...] = ()
