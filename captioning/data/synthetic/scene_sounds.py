"""What a scene of the generated world sounds like: each thing is a tone of its own.

Its colour is the pitch, its shape the timbre, and what it does bends pitch or loudness for as long as it does it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from captioning.data.synthetic.moving_scene import Actor, MovingScene
from captioning.data.synthetic.portable_random import Dice
from captioning.data.synthetic.rendering import COLOURS

RATE = 16_000
SECONDS = 2.0
PITCHES = {colour: 180.0 * 1.4**step for step, colour in enumerate(COLOURS)}  # hertz: 180 to 968
TIMBRES = {  # (multiple of the pitch, how loud)
    "circle": ((1.0, 1.0),),
    "square": ((1.0, 1.0), (3.0, 0.5), (5.0, 0.35), (7.0, 0.2)),
    "triangle": ((1.0, 1.0), (2.0, 0.6), (4.0, 0.4)),
    "star": ((1.0, 0.8), (2.76, 0.7), (5.4, 0.5)),  # as a bell has them
}
BEND = 0.2  # of the pitch, from where something falls or to where it rises
LOUDNESS = {"small": 0.5, "large": 1.0}
STILL = 0.25  # how loud a thing is that does nothing
NOISE = 0.003


def play(scene: MovingScene, key: str) -> NDArray[np.float32]:
    """Two seconds of the scene at 16 kHz, (32000,) in [-1, 1], with the hiss that `key` stands for."""
    dice = Dice(key, "sound")
    total = np.random.RandomState(int(dice.between(0, 1) * 2**31)).standard_normal(round(RATE * SECONDS)) * NOISE
    for actor in scene.actors + scene.still:
        first, last = (round(float(moment) * len(total)) for moment in (actor.begin, actor.end))
        total[first:last] += tone(actor, last - first)
    return np.clip(total / 3, -1, 1).astype(np.float32)


def tone(actor: Actor, count: int) -> NDArray[np.float64]:
    """So many samples of one thing."""
    done = np.linspace(0, 1, count)
    seconds = np.arange(count) / RATE
    bend, loud = np.ones(count), np.full(count, LOUDNESS[actor.size])
    if actor.motion is None:
        loud *= STILL
    elif actor.motion in ("rises", "falls"):
        bend += BEND * (done if actor.motion == "rises" else 1 - done)
    elif actor.motion == "spins":
        bend += 0.05 * np.sin(2 * np.pi * 6 * seconds)
    elif actor.motion in ("right", "left"):  # a beat that quickens from 2 to 10 a second, or slows down
        way = done if actor.motion == "right" else 1 - done
        loud *= 0.55 - 0.45 * np.cos(2 * np.pi * np.cumsum(2 + 8 * way) / RATE)
    elif actor.motion in ("grows", "shrinks"):
        loud *= 0.1 + 0.9 * (done if actor.motion == "grows" else 1 - done)
    else:
        loud *= (done >= 0.5) if actor.motion == "appears" else (done < 0.5)
    phase = 2 * np.pi * np.cumsum(PITCHES[actor.colour] * bend) / RATE
    wave = sum(share * np.sin(multiple * phase) for multiple, share in TIMBRES[actor.shape])
    edge = np.minimum(1, np.minimum(np.arange(count), np.arange(count)[::-1]) / (0.005 * RATE))  # no click
    return loud * edge * wave
