"""Extraction by a small encoder in processes that are killed at a random moment."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from captioning.data.source import Source
from captioning.encoders.base import Encoder
from captioning.example import Example
from captioning.features.extract import fill
from captioning.features.store import FeatureStore
from captioning.memory import VisualMemory

BATCH = 4
CONFIG = {"_target_": "tests.Small", "backbone": "small"}


class Noise(Source):
    """Pictures of noise, different for every id."""

    name = "noise"

    def __init__(self, count: int):
        self.count = count

    def examples(self, split: str) -> list[Example]:
        return [Example(i if i % 2 else f"{i}.jpg", f"{i}.jpg", ("noise",)) for i in range(self.count)]

    def image(self, example: Example) -> Image.Image:
        seed = int(example.file.removesuffix(".jpg"))
        return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8))


class Small(Encoder):
    """Rows of pixels as tokens, a different number for every picture.

    `pause` is how many seconds a batch takes; `log`, a file, grows by a byte for each picture.
    """

    width, size = 24, 8

    def __init__(self, pause: float = 0.0, log: Path | None = None):
        super().__init__()
        self.pause, self.log = pause, log

    def read(self, image):
        return torch.from_numpy(np.asarray(image).reshape(8, 24).copy())

    def forward(self, pictures):
        if self.log:
            with self.log.open("ab") as file:
                file.write(b"." * len(pictures))
        time.sleep(self.pause)
        counts = 1 + pictures[:, 0, 0] % 8
        mask = torch.arange(8) < counts[:, None]
        return VisualMemory(pictures / 255, mask, pictures.float().mean(1) / 255, boxes=pictures[..., :4] / 255)


def extract(
    folder: Path,
    count: int,
    pause: float = 0.0,
    shard: tuple[int, int] = (1, 1),
    log: Path | None = None,
    workers: int = 1,
) -> FeatureStore:
    torch.set_num_threads(1)
    source = Noise(count)
    options = {"batch_size": BATCH, "num_workers": workers, "shard": shard}
    return fill(folder, Small(pause, log), CONFIG, source, source.examples("all"), **options)[0]


def kill_and_resume(folder: Path, *, count: int, kills: int, seed: int, workers: int = 1) -> tuple[int, int]:
    """Extracts `count` pictures, killed `kills` times on the way.

    -> how many kills found it at work, and how many pictures were computed more than once.
    """
    dice, context, hit = random.Random(seed), multiprocessing.get_context("fork"), 0
    log = folder.with_suffix(".log")
    log.touch()
    for _ in range(kills):
        arguments = (folder, count, 0.01, (1, 1), log, workers)
        before, process = log.stat().st_size, context.Process(target=extract, args=arguments)
        process.start()
        while process.is_alive() and log.stat().st_size == before:  # a kill before it has begun proves nothing
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.2))
        process.kill()
        process.join()
        hit += process.exitcode == -9
    extract(folder, count, log=log)
    return hit, log.stat().st_size - count


def difference(one: FeatureStore, other: FeatureStore, count: int) -> str | None:
    """What differs between two stores of `count` pictures, bit for bit; None where nothing does."""
    ids = [example.id for example in Noise(count).examples("all")]
    for store in (one, other):
        if store.damaged() or len(store) != count:
            return f"{store.folder}: {len(store)} of {count} pictures, damaged {store.damaged()}"
    first, second = one.read(ids), other.read(ids)
    for name in ("tokens", "mask", "pooled", "boxes"):
        if not torch.equal(getattr(first, name), getattr(second, name)):
            return f"{name} differ"
    return None
