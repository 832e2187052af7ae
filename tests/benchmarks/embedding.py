"""How fast a text finds photos, and how fast a folder is indexed: python tests/benchmarks/embedding.py

The vectors searched are random. The plain pass is a maximum over the same bytes, read from memory in the largest words
there are, taken in turns with the search. Photos are indexed by the shipped embedder (`MODEL=DIR` for another), drawn
ones of 640 x 480 (`PHOTOS=DIR` for others), in turns with the bare encoder on tensors that are in memory already.
"""

from __future__ import annotations

import itertools
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from harness import Figure, drawn_photos, report

from captioning.features.vector_index import VectorIndex
from captioning.media.finding import find_images
from captioning.media.pictures import as_picture
from captioning.runtime.allocator import keep_freed_memory
from captioning.tasks.load import load

VECTORS, WIDTH, ROUNDS, PHOTOS, BATCH = 100_000, 512, 15, 128, 16


def elapsed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def search(folder: Path) -> list[Figure]:
    """A query over all vectors, against reading them once."""
    index = VectorIndex.open(folder, width=WIDTH, maker="random")
    rng = np.random.default_rng(0)
    for start in range(0, VECTORS, 10_000):
        names = [f"photos/{i}.jpg" for i in range(start, start + 10_000)]
        index.add(names, rng.standard_normal((10_000, WIDTH), dtype=np.float32))
    index = VectorIndex(folder)
    query = rng.standard_normal((1, WIDTH), dtype=np.float32)
    words = np.memmap(folder / "vectors-0.f16", np.int64, "r")
    pairs = [(elapsed(lambda: index.search(query)), elapsed(words.max)) for _ in range(ROUNDS + 2)][2:]
    found, plain = (min(times) for times in zip(*pairs, strict=True))
    return [
        Figure(f"text query over {VECTORS:,} vectors of {WIDTH}", 1000 * found, "ms", 50),
        Figure("search, of a plain pass over its bytes", 100 * plain / found, "%", 60, higher=True),
    ]


def indexing(model: str, photos: Path) -> list[Figure]:
    """Photos a second into an index, of what the encoder and the projection alone do."""
    embedder = load(model, device="cpu")
    files = list(itertools.islice(find_images(photos, True), PHOTOS))
    pictures = [embedder.encoder.read(as_picture(file, embedder.encoder.size)) for file in files]
    batches = [embedder.encoder.collate(pictures[i : i + BATCH]) for i in range(0, len(pictures), BATCH)]

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches:
                embedder.task.embed_images(embedder.encoder(batch))

    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            shutil.copy(file, folder)

        def whole() -> None:
            shutil.rmtree(Path(folder) / "index", ignore_errors=True)
            embedder.index(folder, place=Path(folder) / "index", batch_size=BATCH)

        bare()
        ratios = [elapsed(bare) / elapsed(whole) for _ in range(3)]
    return [Figure("indexing photos, of the bare encoder", 100 * statistics.median(ratios), "%", 90, higher=True)]


def main() -> int:
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        figures = search(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(os.environ.get("PHOTOS", folder))
        if photos == Path(folder):
            drawn_photos(photos, PHOTOS)
        figures += indexing(os.environ.get("MODEL", "flickr8k_embedding"), photos)
    report("embedding", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
