"""Complete graphs of the generated world: every thing with its box, every relation that holds, and no other."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from itertools import count, permutations, product
from typing import Literal

from captioning.data.graphs import GraphExample, Relation
from captioning.data.synthetic.portable_random import Dice
from captioning.data.synthetic.scene import Group, Scene
from captioning.data.synthetic.scenes import CELLS, SIZES, Scenes, pick_kinds, place_in_cell, split_of
from captioning.errors import UserError
from captioning.example import Example

PREDICATES = ("left of", "right of", "above", "below")
MOST_CAPTIONS = 5
HOLD_OUT = ("pairs", "triples")
HELD_SHARE = 0.1  # of the triples


class SceneGraphs(Scenes):
    """Pictures of `objects[0]` to `objects[1]` things, some of them alike, and what they are to each other.

    A label is "red circle", an attribute the size. Of two things in one row one is "left of" the other and that
    "right of" it, in one column "above" and "below"; askew they have no relation, so that nothing can be guessed from
    what the things are. Captions say one relation each. What the split `unseen` alone shows is `hold_out`: "pairs" of
    colour and shape, or "triples", a tenth of all ways in which two kinds of things lie to each other, of which each of
    its pictures shows one at least: what zero-shot recall is about. Other options are those of `Scenes`.
    """

    things = "graphs"
    metrics = ("predcls", "sgcls", "sgdet")

    def __init__(
        self, *, objects: tuple[int, int] = (2, 5), hold_out: Literal["pairs", "triples"] = "pairs", **options
    ) -> None:
        super().__init__(objects=objects, **options)
        if hold_out not in HOLD_OUT:
            raise UserError(f"data.hold_out={hold_out}: it is {' or '.join(HOLD_OUT)}.")
        if objects[0] < 2:
            raise UserError(f"data.objects={list(objects)}: a relation needs 2 things at least.")
        self.hold_out = hold_out
        self.name = f"graphs-{self.name}" + ("-triples" if hold_out == "triples" else "")

    def scene(self, number: int) -> Scene:
        """The scene with this id; every thing is a group of its own."""
        unseen = split_of(number) == "unseen"
        if self.hold_out == "pairs":
            return self._laid_out(Dice("scene graphs", self.seed, number), novel=unseen)
        scenes = (self._laid_out(Dice("scene graphs", self.seed, number, i), novel=False) for i in count())
        return next(scene for scene in scenes if shows_held_out(scene) == unseen)

    def _laid_out(self, dice: Dice, *, novel: bool) -> Scene:
        things = dice.pick(range(self.objects[0], self.objects[1] + 1))
        different = dice.pick(range((things + 1) // 2, things + 1))
        kinds = pick_kinds(dice, different, held_out=novel)
        kinds += [dice.pick(kinds) for _ in range(things - different)]
        cells = dice.sample([*product(range(CELLS), range(CELLS))], things)
        groups = tuple(
            Group(colour, shape, dice.pick(tuple(SIZES)), (cell,))
            for (colour, shape), cell in zip(kinds, cells, strict=True)
        )
        return Scene(groups, True, tuple(place_in_cell(dice, group, group.cells[0]) for group in groups))

    def _example(self, number: int, split: str) -> GraphExample:
        scene, plain = self.scene(number), super()._example(number, split)
        values = {field.name: getattr(plain, field.name) for field in fields(Example)}
        relations = relations_of(scene)
        said = Dice("captions of graphs", self.seed, number).sample(relations, min(len(relations), MOST_CAPTIONS))
        names = plain.labels
        values["captions"] = tuple(f"a {names[s]} {predicate} a {names[o]}" for s, predicate, o in said) or (
            f"a {names[0]}",
        )
        return GraphExample(**values, relations=relations, attributes=tuple((group.size,) for group in scene.groups))


def relations_of(scene: Scene) -> tuple[Relation, ...]:
    """Every relation that holds between two things of a scene whose groups are single things."""
    found = []
    for (i, one), (j, other) in permutations(enumerate(scene.groups), 2):
        (column, row), (its_column, its_row) = one.cells[0], other.cells[0]
        if row == its_row:
            found.append((i, PREDICATES[column > its_column], j))
        elif column == its_column:
            found.append((i, PREDICATES[2 + (row > its_row)], j))
    return tuple(found)


def shows_held_out(scene: Scene) -> bool:
    """Whether two things of a scene lie to each other as none of training do."""
    names = [f"{group.colour} {group.shape}" for group in scene.groups]
    return any(is_held_out(names[s], predicate, names[o]) for s, predicate, o in relations_of(scene))


@cache
def is_held_out(subject: str, predicate: str, other: str) -> bool:
    """Whether a triple is kept from training; what one thing is to another is held out with what that is to it."""
    if predicate in ("right of", "below"):
        subject, predicate, other = other, PREDICATES[PREDICATES.index(predicate) - 1], subject
    return Dice("held-out triples", subject, predicate, other).chance(HELD_SHARE)
