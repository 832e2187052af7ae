"""Whether what a sentence says of one generated scene is true of another, and scenes that sentences tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import permutations

from captioning.data.synthetic.scene import Group, Scene, Statement

NAMED = ("count", "colour", "shape", "size", "place", "line")  # facts of one group


def holds(statement: Statement, scene: Scene) -> bool:
    """Whether the scene has groups of which everything is true that the statement says, each named one another."""
    named = sorted({number for fact in statement.facts if fact[0] != "total" for number in _groups_of(fact)})
    return any(
        all(_fact_holds(fact, dict(zip(named, groups, strict=True)), scene) for fact in statement.facts)
        for groups in permutations(scene.groups, len(named))
    )


def told_apart(scenes: Iterable[tuple[int, Scene]]) -> Iterator[tuple[int, Scene]]:
    """Of (id, scene) those of which no statement is true of one that came before, nor the other way round."""
    kept: list[tuple[frozenset[str], Scene]] = []
    for number, scene in scenes:
        kinds = frozenset(f"{group.colour} {group.shape}" for group in scene.groups)
        rivals = [other for theirs, other in kept if theirs & kinds]  # a statement names a colour with its shape
        if not any(_alike(scene, other) for other in rivals):
            kept.append((kinds, scene))
            yield number, scene


def _alike(one: Scene, other: Scene) -> bool:
    return any(holds(said, other) for said in one.statements) or any(holds(said, one) for said in other.statements)


def _groups_of(fact: tuple) -> tuple[int, ...]:
    return fact[1:2] if fact[0] in NAMED else fact[1:]


def _fact_holds(fact: tuple, groups: Mapping[int, Group], scene: Scene) -> bool:
    kind = fact[0]
    if kind == "total":
        return len(scene.things) == fact[1]
    first, *others = (groups[number] for number in _groups_of(fact))
    match kind:
        case "count":
            return len(first.cells) == fact[2]
        case "colour" | "shape" | "size":
            return getattr(first, kind) == fact[2]
        case "place":
            return first.cells == (fact[2],)
        case "line":
            return len(first.cells) > 1 and len({cell[fact[2] == "row"] for cell in first.cells}) == 1
        case "left_of":
            return _before(0, first, others[0])
        case "above":
            return _before(1, first, others[0])
        case "next_to":
            return scene.horizontal and abs(_lane(first) - _lane(others[0])) == 1
        case "between":
            return any(order(first, others) for order in (_inside(0), _inside(1)))
    raise ValueError(f"no fact is called {kind!r}")


def _before(axis: int, one: Group, other: Group) -> bool:
    """Every thing of the one before every thing of the other: in columns (0) or in rows (1)."""
    return max(cell[axis] for cell in one.cells) < min(cell[axis] for cell in other.cells)


def _inside(axis: int) -> Callable[[Group, list[Group]], bool]:
    def inside(middle: Group, ends: list[Group]) -> bool:
        a, b = ends
        return (_before(axis, a, middle) and _before(axis, middle, b)) or (
            _before(axis, b, middle) and _before(axis, middle, a)
        )

    return inside


def _lane(group: Group) -> int:
    """The column of a group of a horizontal scene."""
    return group.cells[0][0]
