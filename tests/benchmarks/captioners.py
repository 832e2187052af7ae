"""What a photo takes the shipped captioners, from files, one beside the other: python tests/benchmarks/captioners.py

Processor time of one core, in turns, since photos a second by the clock depend on who else is there. Photos are drawn
ones of 640 x 480; `PHOTOS=DIR` takes others, the first `COUNT` of them, and should: what is seen decides how often
`everyday` searches.
"""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from harness import Figure, drawn_photos, report

from captioning.media.finding import find_images
from captioning.runtime.allocator import keep_freed_memory
from captioning.tasks.load import load

MODELS, ROUNDS, BATCH = ("flickr8k", "everyday"), 3, 16
GOAL = 0.6  # of the photos a second that the first captions


def main() -> int:
    keep_freed_memory()
    torch.set_num_threads(1)
    count = int(os.environ.get("COUNT", "32"))
    captioners = {name: load(name, device="cpu") for name in MODELS}
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(os.environ.get("PHOTOS", folder))
        if photos == Path(folder):
            drawn_photos(photos, count)
        files = list(itertools.islice(find_images(photos, True), count))
        if not files:
            sys.exit(f"PHOTOS={photos}: there is no photo in it")
        taken: dict[str, list[float]] = {name: [] for name in MODELS}
        for turn, name in itertools.product(range(ROUNDS + 1), MODELS):
            start = time.process_time()
            for _ in captioners[name].stream(files, batch_size=BATCH, workers=1):
                pass
            if turn:  # the first one warms up
                taken[name].append(1000 * (time.process_time() - start) / len(files))
    first, *others = MODELS
    figures = [
        Figure(f"{name}, a photo", statistics.median(taken[name]), "ms", GOAL, peer=statistics.median(taken[first]))
        for name in others
    ]
    report("captioners", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
