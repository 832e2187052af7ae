"""How fast features are extracted and read, and what memory that takes: python tests/benchmarks/features.py

Extraction needs Flickr8k in the folder that CAPTIONING_DATA names; without it that figure is left out. It is taken in
turns with the bare encoder, forward passes on tensors that are in memory already, and the median of the ratios counts,
so that a busy machine slows both. The stores that are read have random values in the shape of the encoder's.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import Figure, report, seconds
from torch import Tensor

from captioning.batches import EpochSampler, Examples, loader
from captioning.data.benchmarks.flickr8k import Flickr8k
from captioning.data.source import Source
from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.encoders.base import Encoder
from captioning.encoders.grid import GridEncoder
from captioning.example import Example
from captioning.features.extract import fill
from captioning.features.store import FeatureStore
from captioning.features.store_part import PartWriter
from captioning.runtime.allocator import keep_freed_memory
from captioning.tasks.captioning.objectives import CrossEntropy
from captioning.tasks.captioning.task import Captioning
from captioning.text.vocabulary import Vocabulary

ROUNDS, BATCH = 7, 32
TOKENS, WIDTH = 49, 1280  # of the default encoder
MANY, FEW = 7000, 1000
CONFIG = {"_target_": "captioning.encoders.grid.GridEncoder"}
CAPTIONS = ("a dog runs on the grass", "two dogs play with a ball in the water")


def elapsed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def bare(encoder: Encoder, batches: list[Tensor]) -> None:
    with torch.inference_mode():
        for batch in batches:
            encoder(batch)


def extraction(encoder: Encoder, source: Flickr8k, folder: Path) -> Figure:
    """Photos a second from files to a store, against the encoder alone on as many photos."""
    examples = source.examples("val")[: 2 * BATCH]
    pictures = torch.stack([encoder.read(source.image(example)) for example in examples])
    batches = list(pictures.split(BATCH))

    def extract() -> None:
        fill(folder, encoder, CONFIG, source, examples, batch_size=BATCH)

    alone, whole = [], []
    for i in range(ROUNDS + 1):
        pair = [(alone, lambda: bare(encoder, batches)), (whole, extract)]
        for times, call in pair if i % 2 else reversed(pair):
            times.append(elapsed(call))
        shutil.rmtree(folder)
    ratio = statistics.median(first / second for first, second in zip(alone[1:], whole[1:], strict=True))
    speed = len(examples) / statistics.median(alone[1:])
    return Figure("extraction, of the bare encoder", speed * ratio, "photos/s", 0.9, peer=speed, higher=True)


def encoder_speed(encoder: Encoder) -> float:
    """Photos a second on tensors in memory."""
    batch = torch.randint(0, 256, (BATCH, 3, 224, 224), dtype=torch.uint8)
    bare(encoder, [batch])
    return BATCH / statistics.median(elapsed(lambda: bare(encoder, [batch])) for _ in range(ROUNDS))


def random_store(folder: Path, pictures: int) -> FeatureStore:
    """A store of `pictures` with ids 0, 1, ... in the shape of the default encoder's."""
    columns, dice = ["tokens", "pooled"], np.random.default_rng(0)
    store = FeatureStore.create(folder, encoder=CONFIG, digest="random", width=WIDTH, columns=columns)
    tokens = dice.standard_normal((BATCH, TOKENS, WIDTH), np.float32).astype(np.float16)
    values = [{"tokens": each, "pooled": each[0]} for each in tokens]
    writer = PartWriter(folder, WIDTH, columns)
    for start in range(0, pictures, BATCH):
        ids = range(start, min(start + BATCH, pictures))
        writer.append([json.dumps(key).encode() for key in ids], values[: len(ids)])
    writer.close()
    return store.refresh()


def batches(store: FeatureStore, pictures: int):
    """The loader that training has, over the first `pictures`."""
    vocabulary = Vocabulary.build(CAPTIONS, min_count=1, max_words=20)
    examples = [Example(key, "", CAPTIONS) for key in range(pictures)]
    task = Captioning(decoder={}, generation={})
    task.vocabulary = vocabulary
    data = Examples(examples, Source(), Encoder(), store, task.targets)
    return loader(data, EpochSampler(pictures, shuffle=True), BATCH, 0), vocabulary


def reading(store: FeatureStore, peer: float) -> Figure:
    """Photos a second as batches with captions, each compared with its checksum, against running the encoder."""
    read, _ = batches(store, FEW)
    took, _ = seconds(lambda: [None for _ in read] and store.refresh())  # which forgets what has been compared
    return Figure("training is fed, against running the encoder", FEW / took, "photos/s", 20, peer=peer, higher=True)


def opening(folder: Path, pictures: int = 120_000) -> Figure:
    """Milliseconds to open the index of as many photos as COCO has."""
    columns, one = ["tokens", "pooled"], {"tokens": np.ones((1, 1), np.float16), "pooled": np.ones(1, np.float16)}
    FeatureStore.create(folder, encoder=CONFIG, digest="random", width=1, columns=columns)
    ids = [json.dumps(f"COCO_train2014_{key:012}.jpg").encode() for key in range(pictures)]
    PartWriter(folder, 1, columns).append(ids, [one] * pictures)
    took, _ = seconds(lambda: FeatureStore(folder))
    return Figure("a store of 120,000 photos opens in", 1000 * took, "ms", 100)


def train(folder: Path, pictures: int) -> float:
    """One epoch over the first `pictures` of a store. -> the most memory that this process ever had, in MB."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # small steps, of which a busy machine would make long ones
    keep_freed_memory()
    read, vocabulary = batches(FeatureStore(folder), pictures)
    sizes = {"visual_width": WIDTH, "vocabulary_size": len(vocabulary), "embedding": 32, "width": 32}
    objective, decoder = CrossEntropy(), ShowAttendTell(**sizes, visual=32, attention=32)
    optimizer = torch.optim.Adam(decoder.parameters())
    for batch in read:
        loss, _ = objective(decoder, decoder.prepare(batch.inputs.float()), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(folder: Path) -> Figure:
    """The most memory of a process that trains on 7,000 photos, against one that trains on 1,000."""
    most = {}
    for pictures in (FEW, MANY):
        command = [sys.executable, __file__, "train", str(folder), str(pictures)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        most[pictures] = float(answer.stdout.split()[-1])
    print(", ".join(f"{size:.0f} MB with {pictures:,} photos" for pictures, size in most.items()))
    return Figure("memory of training, 7,000 against 1,000 photos", most[MANY] / most[FEW], "times", 1.1)


def main() -> int:
    keep_freed_memory()
    figures, encoder = [], GridEncoder().eval()
    root = Path(os.environ.get("CAPTIONING_DATA", "data")) / "flickr8k"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if root.is_dir():
            figures.append(extraction(encoder, Flickr8k(root), folder / "extracted"))
        else:
            print(f"{root} is not there: the figure of extraction is left out", file=sys.stderr)
        store = random_store(folder / "random", MANY)
        figures.append(reading(store, encoder_speed(encoder)))
        figures.append(memory(folder / "random"))
        figures.append(opening(folder / "many"))
    report("features", figures)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        print(train(Path(sys.argv[2]), int(sys.argv[3])))
        sys.exit(0)
    sys.exit(main())
