"""The generated world with all senses: one scene as a picture, a clip, a depth map, a sound and sentences.

What belongs to a scene is written by the scene alone, so that senses that were never seen together still tell of the
same things: which pairs of them a model learns from is a matter of `together`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from captioning.data.senses import SENSES, SensedExample
from captioning.data.synthetic.moving_scene import MovingScene
from captioning.data.synthetic.moving_scenes import MovingScenes
from captioning.data.synthetic.portable_random import Dice
from captioning.data.synthetic.rendering import render_frames
from captioning.data.synthetic.scene_sounds import RATE, play
from captioning.data.synthetic.scenes import IDS_PER_SPLIT
from captioning.errors import UserError
from captioning.example import Example
from captioning.media.depth_map import DepthMap
from captioning.media.sound import Sound

KNOWN = ("image", "text", *SENSES)
BOUND = (("image", "text"), ("image", "sound"), ("image", "depth"), ("image", "motion"))
GROUND = 8.0  # metres to the middle of the ground
KEPT = 20_000  # pictures that are drawn once


class SensedScenes(MovingScenes):
    """Moving scenes whose picture is a long exposure: where something was earlier is fainter, so that it shows motion.

    `together`: the senses that training scenes have, one such group a scene in turn; scenes of other splits have all.
    By default every further sense is only ever seen together with a picture. Other keywords are those of
    `MovingScenes`.
    """

    metrics = ("binding",)
    things = "scenes"

    def __init__(self, *, together: Sequence[Sequence[str]] = BOUND, still: int = 1, size: int = 64, **world):
        super().__init__(still=still, size=size, **world)
        if not together or any(len(group) < 2 or not set(group) <= set(KNOWN) for group in together):
            raise UserError(f"data.together: groups of two or more of {', '.join(KNOWN)}")
        self.together = tuple(tuple(group) for group in together)
        self.name = f"sensed_{self.name}"
        self._kept: dict[int, np.ndarray] = {}

    def image(self, example: Example) -> Image.Image:
        """The long exposure, (size, size) RGB."""
        if example.id not in self._kept:
            frames = self.draw(self.scene(example.id), self._key(example)).astype(np.float32)
            pixels = np.tensordot(exposure(len(frames)), frames, 1).round().astype(np.uint8)
            if len(self._kept) >= KEPT:
                return Image.fromarray(pixels)
            self._kept[example.id] = pixels
        return Image.fromarray(self._kept[example.id])

    def sound(self, example: Example) -> Sound:
        return Sound.of(play(self.scene(example.id), self._key(example)), RATE, name=example.file)

    def depth(self, example: Example) -> DepthMap:
        """What a slow scanner measures: the mean over the clip, later moments counting more, of distances."""
        scene, key = self.scene(example.id), self._key(example)
        frames = distances(scene, self.size, key, [self._moment(frame) for frame in range(self.frames)])
        return DepthMap.of(np.tensordot(exposure(len(frames)), frames, 1), name=example.file)

    def _example(self, number: int, split: str) -> SensedExample:
        plain = super()._example(number, split)
        group = self.together[number % IDS_PER_SPLIT % len(self.together)] if split == "train" else KNOWN
        captions = plain.captions if "text" in group else ()
        senses = tuple(sense for sense in SENSES if sense in group)
        file = plain.file.replace(".mp4", ".png")  # what is looked at is the picture
        return SensedExample(plain.id, file, captions, plain.boxes, plain.labels, senses)


def exposure(frames: int) -> np.ndarray:
    """How much each frame counts: each more than the one before it, the last a third. -> (F,) float32, sum 1."""
    weights = np.arange(1, frames + 1, dtype=np.float32)
    weights[-1] = weights[:-1].sum() / 2
    return weights / weights.sum()


def distances(scene: MovingScene, size: int, key: str, moments: Sequence) -> np.ndarray:
    """Metres to everything at each moment, (F, size, size) float32: a sloping ground, and each thing nearer than it.

    A thing is drawn in white on black, and where it is white, it is as far away as the scene says.
    """
    dice = Dice(key, "depth")
    slope = np.linspace(1, -1, size, dtype=np.float32)[:, None] * np.float32(dice.between(0.5, 1.5))
    cast = scene.still + scene.actors
    far = {actor: dice.between(1.0, 4.0) for actor in cast}
    frames = np.empty((len(moments), size, size), np.float32)
    for frame, moment in zip(frames, moments, strict=True):
        frame[...] = GROUND + slope
        for actor in cast:
            if (thing := actor.at(moment)) is not None:
                cover = silhouette(replace(thing, colour="white", shade=1.0), size)
                frame += cover * (np.float32(far[actor]) - frame)
    return frames


def silhouette(thing, size: int) -> np.ndarray:
    """How much of each pixel a thing covers, (size, size) float32 in [0, 1]."""
    black = render_frames([[thing], []], size, "silhouette").astype(np.float32)[..., 0]
    return np.clip((black[0] - black[1]) / np.maximum(240 - black[1], 1), 0, 1)
