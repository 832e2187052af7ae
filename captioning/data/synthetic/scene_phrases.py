"""Phrases about the generated world, and the boxes of what they mean; many need a relation to be seen.

A picture shows several things of one kind, so that "the red circle left of the blue square" is one of several red
circles: who does not look at the relation guesses. Things that are said not to be there differ by a word from what is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import product

from captioning.data.phrases import Phrase, PhrasedExample
from captioning.data.synthetic.portable_random import Dice
from captioning.data.synthetic.rendering import COLOURS, SHAPES, Thing
from captioning.data.synthetic.scene import Group, Scene
from captioning.data.synthetic.scenes import CELLS, HELD_OUT, SIZES, Scenes, pick_kinds, place_in_cell, split_of
from captioning.errors import UserError
from captioning.example import Example

KINDS = ("plain", "size", "relation", "several", "absent")
RELATIONS = {  # phrase -> how (column, row) of the one has to lie to the other: steps right, steps down
    "left of": (-1, 0),
    "right of": (1, 0),
    "above": (0, -1),
    "below": (0, 1),
}
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven"}
Located = tuple[str, str, tuple[Thing, ...]]  # kind, phrase, what it means
Placed = tuple[Thing, tuple[int, int]]


class ScenePhrases(Scenes):
    """Pictures of `objects[0]` to `objects[1]` things of two or three kinds, with at most `phrases` phrases each.

    A phrase is of one of KINDS. Those of the split `unseen` are about a pair of colour and shape that is held out:
    neither a picture nor a phrase of the other splits has it. Other options are those of `Scenes`.
    """

    metrics = ("boxes",)

    def __init__(self, *, phrases: int = 8, objects: tuple[int, int] = (3, 6), **options) -> None:
        super().__init__(objects=objects, **options)
        if phrases < 1:
            raise UserError(f"data.phrases={phrases}: give 1 or more for each picture.")
        if objects[0] < 3:
            raise UserError(f"data.objects={list(objects)}: with fewer than 3 things no relation is needed.")
        self.phrases = phrases
        self.name = f"phrases-{self.name}"

    def scene(self, number: int) -> Scene:
        """The scene with this id; every thing is a group of its own."""
        return Scene(*self._laid_out(number))

    def _laid_out(self, number: int) -> tuple[tuple[Group, ...], bool, tuple[Thing, ...]]:
        dice = Dice("scenes of phrases", self.seed, number)
        count = dice.pick(range(self.objects[0], self.objects[1] + 1))
        kinds = pick_kinds(dice, dice.pick((2, 3)), held_out=split_of(number) == "unseen")
        rest = [dice.pick(kinds[1:]) for _ in range(count - len(kinds))]  # several of these, to one of the first
        cells = dice.sample([*product(range(CELLS), range(CELLS))], count)
        groups = tuple(
            Group(colour, shape, dice.pick(tuple(SIZES)), (cell,))
            for (colour, shape), cell in zip([*kinds, *rest], cells, strict=True)
        )
        return groups, True, tuple(place_in_cell(dice, group, group.cells[0]) for group in groups)

    def _example(self, number: int, split: str) -> PhrasedExample:
        scene, plain = self.scene(number), super()._example(number, split)
        dice = Dice("phrases", self.seed, number)
        found = locate(scene, dice, about=set(HELD_OUT) if split_of(number) == "unseen" else None)
        phrases = tuple(
            Phrase(f"{number}/{i}", text, tuple(thing.box for thing in meant), kind, absent=not meant)
            for i, (kind, text, meant) in enumerate(found[: self.phrases])
        )
        values = {field.name: getattr(plain, field.name) for field in fields(Example)}
        return PhrasedExample(**values, phrases=phrases)


def locate(scene: Scene, dice: Dice, *, about: set[tuple[str, str]] | None = None) -> list[Located]:
    """Everything that can be said of a scene in a random order, relations first among equals; nothing twice.

    With `about` only of things of these kinds, which no others may be asked for either.
    """
    placed = [(thing, group.cells[0]) for thing, group in zip(scene.things, scene.groups, strict=True)]
    everything = [*_named(placed), *_related(placed), *_absent(placed, dice, held_out=about is not None)]
    unique = {text: (kind, text, meant) for kind, text, meant in everything}
    kept = [
        one for one in unique.values() if about is None or any(f"{colour} {shape}" in one[1] for colour, shape in about)
    ]
    shuffled = dice.sample(kept, len(kept))
    by_kind = {kind: [one for one in shuffled if one[0] == kind] for kind in KINDS}
    by_kind["absent"] = by_kind["absent"][: max(1, (len(shuffled) - len(by_kind["absent"])) // 4)]
    turns = max(map(len, by_kind.values()), default=0)
    order = ("relation", "plain", "absent", "relation", "size", "several")
    return [by_kind[kind].pop(0) for _ in range(turns) for kind in order if by_kind[kind]]


def _names(thing: Thing) -> list[str]:
    return [f"{thing.colour} {thing.shape}", thing.shape, f"{thing.colour} shape"]


def _size(thing: Thing) -> str:
    return next(name for name, width in SIZES.items() if width == thing.width)


def _named(placed: list[Placed]) -> Iterator[Located]:
    """Things by colour, shape and size, where these tell which are meant; all of a kind where there are several."""
    things = [thing for thing, _ in placed]
    for thing in things:
        for name in _names(thing):
            same = [other for other in things if name in _names(other)]
            if len(same) == 1:
                yield "plain", f"the {name}", (thing,)
                continue
            several = name + "s"
            yield "several", f"the {several}", tuple(same)
            yield "several", f"{NUMBERS.get(len(same), 'all')} {several}", tuple(same)
            if sum(_size(other) == _size(thing) for other in same) == 1:
                yield "size", f"the {_size(thing)} {name}", (thing,)


def _related(placed: list[Placed]) -> Iterator[Located]:
    """Things of which there are several, told apart by where they are to one of which there is one."""
    things = [thing for thing, _ in placed]
    for anchor, there in placed:
        only = [name for name in _names(anchor) if sum(name in _names(other) for other in things) == 1]
        for relation, way in RELATIONS.items() if only else ():
            for name in dict.fromkeys(name for thing in things for name in _names(thing)):
                same = [(thing, cell) for thing, cell in placed if name in _names(thing) and thing is not anchor]
                clear = [thing for thing, cell in same if _lies(cell, there, way, clearly=True)]
                loose = [thing for thing, cell in same if _lies(cell, there, way, clearly=False)]
                if len(same) > 1 and len(clear) == len(loose) == 1:
                    yield "relation", f"the {name} {relation} the {only[0]}", (clear[0],)
                elif same and not loose:
                    yield "absent", f"the {name} {relation} the {only[0]}", ()


def _lies(cell: tuple[int, int], there: tuple[int, int], way: tuple[int, int], *, clearly: bool) -> bool:
    """Whether a cell lies that way of another; clearly where it does so more than it lies askew."""
    right, down = cell[0] - there[0], cell[1] - there[1]
    along = right * way[0] + down * way[1]
    askew = abs(down if way[0] else right)
    return along > 0 and (askew < along or not clearly)


def _absent(placed: list[Placed], dice: Dice, *, held_out: bool) -> Iterator[Located]:
    """Kinds that are not there, though their colour or their shape is."""
    shown = {(thing.colour, thing.shape) for thing, _ in placed}
    near = [
        (colour, shape)
        for colour, shape in product(COLOURS, SHAPES)
        if (colour, shape) not in shown
        and any((colour == c) != (shape == s) for c, s in shown)
        and (held_out or (colour, shape) not in HELD_OUT)
    ]
    for colour, shape in dice.sample(near, min(len(near), 4)):
        yield "absent", f"the {colour} {shape}", ()
