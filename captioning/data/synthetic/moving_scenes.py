"""The generated world in motion: short clips of one or two acting shapes among still ones, five captions each.

What happens cannot be read from one frame, nor from any bag of frames: every motion but spinning has an opposite,
and a clip run backwards shows the same frames while its captions tell the opposite. Only their order tells.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from PIL import Image

from captioning.data.source import Source
from captioning.data.synthetic.motion_captions import describe_motion
from captioning.data.synthetic.moving_scene import MOTIONS, WIDTHS, Actor, Cell, MovingScene
from captioning.data.synthetic.portable_random import Dice
from captioning.data.synthetic.rendering import render_frames
from captioning.data.synthetic.scenes import (
    CELLS,
    EDITION,
    IDS_PER_SPLIT,
    SPLITS,
    check_counts,
    check_size,
    pick_kinds,
    scene_ids,
    split_of,
)
from captioning.errors import UserError
from captioning.example import Example
from captioning.media.clip import Clip


class MovingScenes(Source):
    """Clips of `frames` frames at `fps` frames a second, `size` pixels wide, with at most `still` things at rest.

    Splits, ids and seeds are as in `Scenes`. An example's boxes are those of the middle frame, which is its image.
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
        size: int = 96,
        frames: int = 8,
        fps: float = 4.0,
        still: int = 2,
    ):
        if frames < 4 or fps <= 0:
            raise UserError(f"data.frames={frames}, data.fps={fps}: give at least 4 frames and a positive rate.")
        if not 0 <= still <= 2:
            raise UserError(f"data.still={still}: from 0 to 2 things can stay still beside those that move.")
        self.counts = check_counts(train=train, val=val, test=test, unseen=unseen)
        self.seed, self.size, self.frames, self.fps, self.still = seed, check_size(size), frames, fps, still
        self.name = f"moving_scenes{EDITION}-seed{seed}-size{size}-frames{frames}-still{still}"

    def examples(self, split: str) -> list[Example]:
        return [self._example(number, split) for number in scene_ids(self.counts, split)]

    def clip(self, example: Example) -> Clip:
        """The clip, already drawn: `frames` frames of (size, size)."""
        return Clip.of(self.draw(self.scene(example.id), self._key(example)), fps=self.fps, name=example.file)

    def image(self, example: Example) -> Image.Image:
        """The middle frame, (size, size) RGB."""
        things = self.scene(example.id).things(self._moment(self.frames // 2))
        return Image.fromarray(render_frames([things], self.size, self._key(example))[0])

    def fingerprint(self, example: Example) -> str:
        """The world, its rate of frames, which an encoder may look at, and the clip's id."""
        return f"{self.name}-fps{self.fps} {example.id}"

    def draw(self, scene: MovingScene, key: str) -> np.ndarray:
        """Any scene on the ground that `key` stands for. -> (F, size, size, 3) uint8."""
        moments = [self._moment(frame) for frame in range(self.frames)]
        return render_frames([scene.things(moment) for moment in moments], self.size, key)

    def scene(self, number: int) -> MovingScene:
        """The scene with this id: who does what, when, and what each of its five captions states."""
        dice = Dice("moving_scenes", self.seed, number)
        scene = set_in_motion(dice, self.still, held_out=split_of(number) == "unseen")
        return MovingScene(scene.actors, scene.still, describe_motion(scene, dice))

    def _key(self, example: Example) -> str:
        return f"moving/{self.seed}/{example.id}"

    def _moment(self, frame: int) -> Fraction:
        return Fraction(frame, self.frames - 1)

    def _example(self, number: int, split: str) -> Example:
        scene = self.scene(number)
        things = scene.things(self._moment(self.frames // 2))
        return Example(
            id=number,
            file=f"{split}/{number % IDS_PER_SPLIT:06d}.mp4",
            captions=tuple(statement.text for statement in scene.statements),
            boxes=tuple(thing.box for thing in things),
            labels=tuple(f"{thing.colour} {thing.shape}" for thing in things),
        )


def set_in_motion(dice: Dice, still: int, *, held_out: bool) -> MovingScene:
    """A moving scene without captions."""
    acts = _acts(dice)
    motions = [dice.pick(MOTIONS) for _ in acts] + [None] * dice.pick(range(still + 1))
    kinds = pick_kinds(dice, len(motions), held_out=held_out)
    while any(motion == "spins" and shape == "circle" for motion, (_, shape) in zip(motions, kinds, strict=True)):
        kinds = pick_kinds(dice, len(motions), held_out=held_out)
    cast = []
    for (colour, shape), motion, track in zip(kinds, motions, _tracks(dice, motions), strict=True):
        begin, end = acts[len(cast)] if motion else (Fraction(0), Fraction(1))
        size = dice.pick(tuple(WIDTHS))
        slack = (1 / CELLS - WIDTHS[size] * 1.16) / 2
        dx, dy = dice.between(-slack, slack), dice.between(-slack, slack)
        cast.append(Actor(colour, shape, size, motion, track, begin, end, dx, dy))
    return MovingScene(tuple(cast[: len(acts)]), tuple(cast[len(acts) :]))


def _acts(dice: Dice) -> list[tuple[Fraction, Fraction]]:
    """When each actor begins and ends: one alone, one after the other, or both together."""
    half = Fraction(1, 2)
    whole = (Fraction(0), Fraction(1))
    return dice.pick(([whole], [(Fraction(0), half), (half, Fraction(1))], [whole, whole]))


def _tracks(dice: Dice, motions: list[str | None]) -> list[tuple[Cell, ...]]:
    """Cells for everyone, of which no two share any, so that nothing ever hides another."""
    while True:
        tracks = [_track(dice, motion) for motion in motions]
        cells = [cell for track in tracks for cell in track]
        if len(set(cells)) == len(cells):
            return tracks


def _track(dice: Dice, motion: str | None) -> tuple[Cell, ...]:
    """The cells a motion crosses, from the left or from the top: two or three for a travelling thing, else one."""
    across = dice.pick(range(CELLS))
    if motion not in ("left", "right", "falls", "rises"):
        return ((across, dice.pick(range(CELLS))),)
    first, last = dice.pick(((0, 1), (1, 2), (0, 2)))
    places = range(first, last + 1)
    if motion in ("left", "right"):
        return tuple((column, across) for column in places)
    return tuple((across, row) for row in places)
