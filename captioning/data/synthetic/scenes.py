"""A generated world: pictures of coloured shapes, five captions each, boxes for every shape; nothing is stored.

What a caption says must be seen to be known. Colours, shapes, sizes, counts, places and relations are drawn
independently of each other, so that no word of a caption is a hint at another, and a few combinations of colour and
shape are kept from training: the split `unseen` shows how well a model joins attributes it only knows apart.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice, pairwise, product

from PIL import Image

from captioning.data.source import Source
from captioning.data.synthetic.portable_random import Dice
from captioning.data.synthetic.rendering import COLOURS, SHAPES, Thing, render
from captioning.data.synthetic.scene import Group, Scene
from captioning.data.synthetic.scene_captions import describe
from captioning.data.synthetic.scene_truth import told_apart
from captioning.errors import UserError
from captioning.example import Example

SIZES = {"small": 0.2, "large": 0.3}  # width as a share of the picture's
HELD_OUT = (("red", "star"), ("green", "circle"), ("blue", "triangle"), ("yellow", "square"))
CELLS = 3  # a scene is laid out on a grid of 3 x 3 cells, each of which holds a large thing
SPLITS = ("train", "val", "test", "unseen")
IDS_PER_SPLIT = 1_000_000
TRIED = 20  # candidates for each of the scenes that captions tell apart
EDITION = 1  # to be raised with any change to what an id shows: names of features kept on disk contain it


class Scenes(Source):
    """Still scenes with `objects[0]` to `objects[1]` things in at most three groups, pictures `size` pixels wide.

    `train`, `val`, `test` and `unseen` are the number of scenes in each split. A scene follows from `seed` and its
    id alone: another number of scenes leaves the others as they were. `name` tells worlds apart that show different
    pictures under the same ids. Every scene of `unseen` shows at least one
    of the HELD_OUT pairs of colour and shape; the other splits show none. With `told_apart` no sentence of a scene of
    another split than `train` is true of another of its scenes, so that there is one right answer to find.
    """

    splits = SPLITS

    def __init__(
        self,
        *,
        train: int = 2000,
        val: int = 200,
        test: int = 200,
        unseen: int = 200,
        seed: int = 0,
        size: int = 128,
        objects: tuple[int, int] = (1, 4),
        told_apart: bool = False,
    ):
        fewest, most = objects
        if not 1 <= fewest <= most <= CELLS * CELLS:
            raise UserError(f"data.objects={list(objects)}: give the fewest and the most things, from 1 to 9.")
        self.counts = check_counts(train=train, val=val, test=test, unseen=unseen)
        self.seed, self.size, self.objects = seed, check_size(size), (fewest, most)
        self.told_apart = told_apart
        self.name = f"scenes{EDITION}-seed{seed}-size{size}-{fewest}to{most}"

    def examples(self, split: str) -> list[Example]:
        numbers = scene_ids(self.counts, split)
        if self.told_apart and split != "train":
            candidates = range(numbers.start, numbers.start + TRIED * len(numbers))
            apart = told_apart((number, self.scene(number)) for number in candidates)
            numbers = [number for number, _ in islice(apart, len(numbers))]
            if len(numbers) < self.counts[split]:
                raise UserError(
                    f"data.{split}={self.counts[split]}: captions tell no more than {len(numbers)} of "
                    f"{len(candidates):,} scenes apart"
                )
        return [self._example(number, split) for number in numbers]

    def image(self, example: Example) -> Image.Image:
        """The picture, (size, size) RGB."""
        return Image.fromarray(render(self.scene(example.id).things, self.size, f"{self.seed}/{example.id}"))

    def fingerprint(self, example: Example) -> str:
        """The world and the scene's id, from which everything follows."""
        return f"{self.name} {example.id}"

    def scene(self, number: int) -> Scene:
        """The scene with this id: what is in it, where, and what each of its five captions states."""
        dice = Dice("scenes", self.seed, number)
        scene = lay_out(dice, self.objects, held_out=split_of(number) == "unseen")
        return Scene(scene.groups, scene.horizontal, scene.things, describe(scene, dice))

    def _example(self, number: int, split: str) -> Example:
        scene = self.scene(number)
        return Example(
            id=number,
            file=f"{split}/{number % IDS_PER_SPLIT:06d}.png",
            captions=tuple(statement.text for statement in scene.statements),
            boxes=tuple(thing.box for thing in scene.things),
            labels=tuple(f"{thing.colour} {thing.shape}" for thing in scene.things),
        )


def check_counts(**counts: int) -> dict[str, int]:
    """Scenes by split. Raises UserError for a number that is negative or too large for the ids."""
    for split, count in counts.items():
        if not 0 <= count <= IDS_PER_SPLIT:
            raise UserError(f"data.{split}={count}: the number of scenes must be from 0 to {IDS_PER_SPLIT:,}.")
    return counts


def check_size(size: int) -> int:
    """Pixels a side. Raises UserError where the shapes could not be told apart."""
    if not 32 <= size <= 4096:
        raise UserError(f"data.size={size}: pictures of the generated world are 32 to 4,096 pixels wide.")
    return size


def scene_ids(counts: dict[str, int], split: str) -> range:
    """The ids of a split. Raises UserError for a split that is unknown or empty."""
    if not counts.get(split):
        known = ", ".join(name for name, count in counts.items() if count)
        raise UserError(f"data.split={split}: the generated world has no such scenes. It has: {known or 'none'}.")
    first = SPLITS.index(split) * IDS_PER_SPLIT
    return range(first, first + counts[split])


def split_of(number: int) -> str:
    """The split to which an id belongs."""
    return SPLITS[number // IDS_PER_SPLIT]


def pick_kinds(dice: Dice, count: int, *, held_out: bool) -> list[tuple[str, str]]:
    """`count` different (colour, shape); with `held_out` at least one is a held-out pair, else none is."""
    everything = list(product(COLOURS, SHAPES))
    if not held_out:
        return dice.sample([kind for kind in everything if kind not in HELD_OUT], count)
    novel = dice.pick(HELD_OUT)
    others = dice.sample([kind for kind in everything if kind != novel], count - 1)
    return dice.sample([novel, *others], count)


def lay_out(dice: Dice, objects: tuple[int, int], *, held_out: bool) -> Scene:
    """A scene without captions."""
    counts = _group_counts(dice, objects)
    horizontal = dice.chance(0.5)
    lanes = sorted(dice.sample(range(CELLS), len(counts)))
    starts = dice.pick(_aligned_starts(counts, lanes))
    groups = []
    for (colour, shape), count, lane, start in zip(
        pick_kinds(dice, len(counts), held_out=held_out), counts, lanes, starts, strict=True
    ):
        places = [(lane, start + i) for i in range(count)]
        cells = tuple(places if horizontal else [(column, row) for row, column in places])
        groups.append(Group(colour, shape, dice.pick(tuple(SIZES)), cells))
    things = tuple(place_in_cell(dice, group, cell) for group in groups for cell in group.cells)
    return Scene(tuple(groups), horizontal, things)


def place_in_cell(dice: Dice, group: Group, cell: tuple[int, int]) -> Thing:
    """One of a group, somewhere inside its cell."""
    x, y = ((place + 0.5) / CELLS for place in cell)
    middle = Thing(group.colour, group.shape, SIZES[group.size], x, y, shade=dice.between(0.9, 1.05))
    left, top, right, bottom = middle.box
    column, row = cell
    x += dice.between(column / CELLS - left, (column + 1) / CELLS - right)
    y += dice.between(row / CELLS - top, (row + 1) / CELLS - bottom)
    return replace(middle, x=x, y=y)


def _group_counts(dice: Dice, objects: tuple[int, int]) -> tuple[int, ...]:
    """How many things each group has: at most three groups of at most three."""
    total = dice.pick(range(objects[0], objects[1] + 1))
    groups = dice.pick([n for n in range(1, CELLS + 1) if n <= total <= n * CELLS])
    return dice.pick([c for c in product(range(1, CELLS + 1), repeat=groups) if sum(c) == total])


def _aligned_starts(counts: tuple[int, ...], lanes: list[int]) -> list[tuple[int, ...]]:
    """Where each group may start in its lane so that neighbours lie side by side more than askew.

    Without this a thing said to be left of another could as well be said to be above it.
    """

    def aligned(starts: tuple[int, ...]) -> bool:
        middles = [start + (count - 1) / 2 for start, count in zip(starts, counts, strict=True)]
        return all(abs(a - b) <= (q - p) / 2 for (a, p), (b, q) in pairwise(zip(middles, lanes, strict=True)))

    return [starts for starts in product(*(range(CELLS + 1 - count) for count in counts)) if aligned(starts)]
