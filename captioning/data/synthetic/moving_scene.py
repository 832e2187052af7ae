"""What a scene in motion holds: actors, their motions and when they act."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from captioning.data.synthetic.rendering import Thing
from captioning.data.synthetic.scene import Statement
from captioning.data.synthetic.scenes import (
    CELLS,
)

MOTIONS = ("right", "left", "falls", "rises", "grows", "shrinks", "appears", "disappears", "spins")


BACKWARDS = ("left", "rises", "shrinks", "disappears")  # each undoes the motion before it in MOTIONS


WIDTHS = {"small": 0.2, "large": 0.28}  # narrower than in still scenes: a corner of a spinning square stays in its cell


LEAST_GROWTH = 0.45  # how wide a growing thing is at first, as a share of its width at last


SPIN = 5 / 12  # of a turn; no symmetry of a square, triangle or star brings it back to where it began


Cell = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Actor:
    """A thing that does something between `begin` and `end`, shares of the clip's length.

    A thing that travels does so along `track`, the cells (column, row) it crosses from the left or from the top;
    any other thing stays in the one cell of its track. `dx`, `dy` shift it inside its cells.
    """

    colour: str
    shape: str
    size: str
    motion: str | None
    track: tuple[Cell, ...]
    begin: Fraction = Fraction(0)
    end: Fraction = Fraction(1)
    dx: float = 0.0
    dy: float = 0.0

    def at(self, moment: Fraction) -> Thing | None:
        """The thing at a moment in [0, 1] of the clip; None while it is not there."""
        done = min(max((moment - self.begin) / (self.end - self.begin), Fraction(0)), Fraction(1))
        level = float(1 - done if self.motion in BACKWARDS else done)
        if self.motion in ("appears", "disappears") and level < 0.5:
            return None
        (x1, y1), (x2, y2) = self.track[0], self.track[-1]
        width = WIDTHS[self.size]
        if self.motion in ("grows", "shrinks"):
            width *= LEAST_GROWTH + (1 - LEAST_GROWTH) * level
        return Thing(
            self.colour,
            self.shape,
            width,
            (x1 + (x2 - x1) * level + 0.5) / CELLS + self.dx,
            (y1 + (y2 - y1) * level + 0.5) / CELLS + self.dy,
            turn=SPIN * level if self.motion == "spins" else 0.0,
        )


@dataclass(frozen=True, slots=True)
class MovingScene:
    """The actors in the order in which they act (two may act together), and the things that stay still."""

    actors: tuple[Actor, ...]
    still: tuple[Actor, ...]
    statements: tuple[Statement, ...] = ()

    @property
    def together(self) -> bool:
        """Whether two things act at the same time."""
        return len(self.actors) == 2 and self.actors[0].begin == self.actors[1].begin

    def things(self, moment: Fraction) -> list[Thing]:
        """What there is to see at a moment in [0, 1] of the clip."""
        present = (actor.at(moment) for actor in self.still + self.actors)
        return [thing for thing in present if thing is not None]
