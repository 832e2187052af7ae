"""How fast a folder of photos is captioned into files: python tests/benchmarks/serving.py [MODEL [PHOTOS]]

The peer is the bare encoder and decoder on the same photos, read and squared beforehand: what is left is the price of
reading, of writing and of the loop. Both take turns, a hundred photos at a time, so that a busy machine slows both.
MODEL is a model's folder or name; without it, a Transformer of random weights behind the default encoder, which never
ends a sentence of its own accord. The photos are Flickr8k's, in CAPTIONING_DATA, else generated ones.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from harness import Figure, report
from PIL import Image

from captioning.commands.caption_files import CaptionFile, Sidecars
from captioning.data.synthetic.scenes import Scenes
from captioning.decoders.transformer import Transformer
from captioning.encoders.grid import GridEncoder
from captioning.generation.beam import beam
from captioning.media.finding import find_images
from captioning.media.pictures import as_picture
from captioning.models.bundle import Bundle
from captioning.runtime.allocator import keep_freed_memory
from captioning.tasks.captioning.caption import describe
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.captioning.task import Captioning
from captioning.tasks.load import load
from captioning.text.vocabulary import UNK, Vocabulary

NO_PARTS = {"decoder": {}, "generation": {}}  # nothing of it is saved
TURN, BATCH, GOAL = 100, 16, 0.85


def untrained() -> Captioner:
    """The default encoder and a small Transformer whose captions all have twelve words."""
    torch.manual_seed(0)
    vocabulary = Vocabulary([f"word{i}" for i in range(3000)], max_words=12)
    encoder = GridEncoder()
    decoder = Transformer(visual_width=encoder.width, vocabulary_size=len(vocabulary), width=256, layers=3, heads=4)
    with torch.no_grad():
        decoder.predict.bias[: UNK + 1] = -1e4
    return Captioner(Bundle(encoder, {}, Captioning.of(decoder, vocabulary, partial(beam, beam_size=3), NO_PARTS)))


def photos(folder: Path, count: int) -> list[Path]:
    """Copies, or links, of real photos in a folder of their own; pictures drawn by the generated world without them."""
    data = os.environ.get("CAPTIONING_DATA")
    real = find_images(Path(data, "flickr8k", "Images"))[:count] if data else []
    for i in range(count):
        place = folder / f"{i:06}.jpg"
        if real:
            place.symlink_to(real[i % len(real)])
        else:
            world = Scenes(test=count, size=224)
            world.image(world.examples("test")[i]).save(place)
    return find_images(folder)


def bare(captioner: Captioner, tensors: list[torch.Tensor]) -> int:
    generation, words = captioner.strategy({}), 0
    for start in range(0, len(tensors), BATCH):
        with torch.inference_mode():
            pixels = captioner.encoder.collate(tensors[start : start + BATCH]).to(captioner.device)
            memory = captioner.encoder(pixels)
        found = describe(captioner.decoder, memory, captioner.vocabulary, generation)
        words += sum(len(best[0].words) for best in found)
    return words


def whole(captioner: Captioner, files: list[Path], output: Path) -> int:
    outputs, words = (Sidecars(files), CaptionFile(output)), 0
    for file, found in captioner.stream(files, batch_size=BATCH):
        for place in outputs:
            place.write(file, found)
        words += len(found[0].words)
    return words


def resident() -> float:
    """Megabytes that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(model: str | None = None, count: int = 1000) -> int:
    keep_freed_memory()
    captioner = load(model) if model else untrained()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "photos").mkdir()
        files = photos(Path(folder) / "photos", count)
        seconds, held = {"bare": 0.0, "whole": 0.0}, []
        bare(captioner, [captioner.encoder.read(Image.new("RGB", (224, 224)))] * 2 * BATCH)  # the first batch is slow
        for turn, start in enumerate(range(0, count, TURN)):
            mine = files[start : start + TURN]
            tensors = [captioner.encoder.read(as_picture(file, captioner.encoder.size)) for file in mine]
            calls = [
                ("bare", partial(bare, captioner, tensors)),
                ("whole", partial(whole, captioner, mine, Path(folder) / f"{turn}.jsonl")),
            ]
            words = {}
            for name, call in calls if turn % 2 else reversed(calls):
                began = time.perf_counter()
                words[name] = call()
                seconds[name] += time.perf_counter() - began
            if words["bare"] != words["whole"]:
                raise SystemExit(f"the captions differ: {words}; nothing to compare")
            held.append(resident())
    speeds = {name: count / spent for name, spent in seconds.items()}
    growth = max(held) - held[min(1, len(held) - 1)]
    report(
        "serving",
        [
            Figure(f"{count} photos into files", speeds["whole"], "photos/s", GOAL, peer=speeds["bare"], higher=True),
            Figure("memory gained after 200 photos", growth, "MB", 30),
        ],
    )
    return 0


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(main(*arguments[:1], *map(int, arguments[1:2])))
