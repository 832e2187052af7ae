"""Pixels of the generated world: coloured shapes on an uneven, noisy ground.

The same things give the same bytes on every machine. Only additions, products, comparisons and square roots touch
the pixels, which IEEE 754 rounds in one way; a drawing library would change its outlines between versions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from captioning.data.synthetic.portable_random import Dice

COLOURS = {
    "red": (222, 44, 46),
    "green": (46, 184, 78),
    "blue": (44, 96, 236),
    "yellow": (244, 212, 44),
    "purple": (168, 62, 208),
    "white": (240, 240, 240),
}
NOISE = 9.0  # in grey levels of 255, to either side


@dataclass(frozen=True, slots=True)
class Outline:
    """A regular star polygon {corners / step}; with step 1 it is the plain polygon.

    `radius` is that of the circle through the corners, as a share of the thing's width; `tilt` is where the first
    corner points, as a share of a full turn from upright.
    """

    corners: int
    step: int
    radius: float
    tilt: float = 0.0


OUTLINES = {
    "circle": None,
    "square": Outline(4, 1, 0.58, 1 / 8),
    "triangle": Outline(3, 1, 0.555),
    "star": Outline(5, 2, 0.526),
}
SHAPES = tuple(OUTLINES)


@dataclass(frozen=True, slots=True)
class Thing:
    """One coloured shape. `width`, `x`, `y` (its centre) are shares of the picture's side, `turn` of a full turn."""

    colour: str
    shape: str
    width: float
    x: float
    y: float
    turn: float = 0.0
    shade: float = 1.0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x1, y1, x2, y2) of its outline, in [0, 1]."""
        outline = OUTLINES[self.shape]
        if outline is None:
            half = self.width / 2
            return self.x - half, self.y - half, self.x + half, self.y + half
        corners = [_direction((i / outline.corners) + outline.tilt + self.turn) for i in range(outline.corners)]
        across, down = zip(*corners, strict=True)
        reach = outline.radius * self.width
        return (
            self.x + reach * min(across),
            self.y + reach * min(down),
            self.x + reach * max(across),
            self.y + reach * max(down),
        )


def render(things: Sequence[Thing], size: int, key: str) -> np.ndarray:
    """The things on the ground that `key` stands for. -> (size, size, 3) uint8."""
    return render_frames([things], size, key)[0]


def render_frames(frames: Sequence[Sequence[Thing]], size: int, key: str) -> np.ndarray:
    """One picture a frame on the same ground with the same noise. -> (F, size, size, 3) uint8.

    The noise stands still so that two clips whose things are in the same places have the same frames.
    """
    ground = _ground(size, Dice(key, "ground"))
    noise = _noise(size, key)
    pixels = np.empty((len(frames), size, size, 3), np.uint8)
    for frame, things in zip(pixels, frames, strict=True):
        canvas = ground.copy()
        for thing in things:
            _paint(canvas, thing)
        frame[...] = np.clip(canvas + noise, 0, 255)
    return pixels


def _direction(turn: float) -> tuple[float, float]:
    """The unit vector (right, down) that is `turn` clockwise from upright."""
    # Six digits hide the last bit, in which the sines of two C libraries may differ.
    return round(math.sin(2 * math.pi * turn), 6), round(-math.cos(2 * math.pi * turn), 6)


def _ground(size: int, dice: Dice) -> np.ndarray:
    """A dull colour that grows lighter in some direction. -> (size, size, 3) float32 in [20, 130]."""
    level = dice.between(45, 90)
    tint = np.array([level + dice.between(-14, 14) for _ in range(3)], np.float32)
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    slope = dice.between(-13, 13) * ramp[None, :] + dice.between(-13, 13) * ramp[:, None]
    return tint + slope[..., None].astype(np.float32)


def _noise(size: int, key: str) -> np.ndarray:
    """Grain, the same in the three channels. -> (size, size, 1) float32 in [-NOISE, NOISE]."""
    grain = np.frombuffer(hashlib.shake_128(key.encode()).digest(size * size), np.uint8)
    return (grain.reshape(size, size, 1).astype(np.float32) - 127.5) * np.float32(NOISE / 127.5)


def _paint(canvas: np.ndarray, thing: Thing) -> None:
    """Lays a thing over the canvas (H, W, 3) in place, its edge softened over one pixel."""
    size = len(canvas)
    reach = 0.6 * thing.width * size + 1
    left, right = (int(min(max(thing.x * size + side, 0), size)) for side in (-reach, reach + 1))
    top, bottom = (int(min(max(thing.y * size + side, 0), size)) for side in (-reach, reach + 1))
    across = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5 - thing.x * size)
    down = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - thing.y * size)
    cover = np.clip(0.5 - _distance(across, down, thing, size), 0, 1)[..., None]
    patch = canvas[top:bottom, left:right]
    patch += cover * (np.array(COLOURS[thing.colour], np.float32) * np.float32(thing.shade) - patch)


def _distance(across: np.ndarray, down: np.ndarray, thing: Thing, size: int) -> np.ndarray:
    """Pixels from the outline, negative inside. across (1, W), down (H, 1) from the centre -> (H, W)."""
    outline = OUTLINES[thing.shape]
    if outline is None:
        return np.sqrt(across * across + down * down) - np.float32(thing.width * size / 2)
    corners, step = outline.corners, outline.step
    sides = [_direction((i + step / 2) / corners + outline.tilt + thing.turn) for i in range(corners)]
    depth = np.float32(outline.radius * thing.width * size * round(math.cos(math.pi * step / corners), 6))
    beyond = np.stack([np.float32(x) * across + np.float32(y) * down - depth for x, y in sides])
    # A point of a pentagram may lie outside one of its five lines, not of two: the second largest distance counts.
    return np.sort(beyond, axis=0)[-step]
