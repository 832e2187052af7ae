"""What further phrases cost, and what is reached without looking: python tests/benchmarks/grounding.py [MODEL]

A photo with twenty phrases beside the same photo with one, in turns, in processor time of one thread; by default of
the shipped model. Where CAPTIONING_DATA names the data sets also, on Flickr30k Entities' phrases of Flickr8k's dev
photos, guesses: the whole picture and a box in its middle; and of a MODEL that looks at regions, or where YOLOX names a
detector's .onnx file, the largest box that is proposed, and the share of phrases that one of the model's regions, or of
36, fits, by kind: no head over these regions finds more unless it moves them. Of PHOTOS photos, by default 200.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from harness import Figure, report

from captioning.boxes import Corners, box_areas, box_ious, union_box
from captioning.data.benchmarks.flickr30k_entities import Flickr30kEntities
from captioning.data.phrases import Phrase, PhrasedExample
from captioning.data.synthetic.scene_phrases import ScenePhrases
from captioning.encoders.base import Encoder
from captioning.encoders.regions import RegionEncoder
from captioning.metrics.box_scores import OVERLAP, Place, Truth, score_places
from captioning.tasks.grounding.locator import Locator
from captioning.tasks.load import load

PHRASES, TURNS, GOAL = 20, 9, 1.3
SHIPPED = "flickr8k_grounding"
MIDDLE = 0.7  # of the picture's side, the best of 0.4 to 0.7

Guess = Callable[[PhrasedExample, Phrase], Corners]


def cost(locator: Locator) -> float:
    """Time with all phrases over time with one."""
    world = ScenePhrases(train=20, size=224)
    examples = world.examples("train")
    photo = world.image(examples[0])
    asked = [phrase.text for example in examples for phrase in example.phrases][:PHRASES]
    spent: dict[int, list[float]] = {1: [], PHRASES: []}
    for _ in range(TURNS):
        for count, times in spent.items():
            start = time.process_time()
            locator.locate(photo, asked[:count])
            times.append(time.process_time() - start)
    one, many = (statistics.median(times[1:]) for times in spent.values())
    return many / one


def guessed(name: str, examples: list[PhrasedExample], guess: Guess) -> dict[str, float]:
    """Accuracy and pointing (at its middle) of a guess."""
    truth, places = {}, {}
    for example in examples:
        for phrase in example.phrases:
            x1, y1, x2, y2 = box = guess(example, phrase)
            truth[phrase.id] = Truth(phrase.boxes, phrase.kind)
            places[phrase.id] = Place(box, ((x1 + x2) / 2, (y1 + y2) / 2))
    scores = score_places(truth, places).corpus
    return {f"{name} box, acc@0.5": scores["acc@0.5"], f"{name} box, pointing": scores["pointing"]}


def proposing(encoder: Encoder, file: str | None) -> RegionEncoder | None:
    """What proposes regions: the model's own encoder, or one around the detector in a file."""
    if isinstance(encoder, RegionEncoder) or file is None:
        return encoder if isinstance(encoder, RegionEncoder) else None
    from captioning.encoders.detectors.yolox import Yolox

    return RegionEncoder(detector=Yolox(file=file), weights="none").eval()


def proposals(
    source: Flickr30kEntities, examples: list[PhrasedExample], encoder: RegionEncoder
) -> dict[str, np.ndarray]:
    """The regions of each photo, by its id, (N, 4)."""
    found = {}
    for example in examples:
        views = encoder.collate([encoder.read(source.image(example))])
        with torch.inference_mode():
            boxes, _, _, mask = encoder.regions(views)
        found[str(example.id)] = boxes[0][mask[0]].numpy()
    return found


def upper_bounds(examples: list[PhrasedExample], regions: dict[str, np.ndarray]) -> dict[str, float]:
    """The share of phrases that a proposal fits, of all and by kind."""
    fits: dict[str, list[bool]] = {"all": []}
    for example in examples:
        for phrase in example.phrases:
            best = box_ious([union_box(phrase.boxes)], regions[str(example.id)]).max() >= OVERLAP
            fits["all"].append(best)
            fits.setdefault(phrase.kind, []).append(best)
    return {f"a proposal fits, {kind}": float(np.mean(those)) for kind, those in fits.items()}


def main() -> None:
    torch.set_num_threads(1)
    model = sys.argv[1] if len(sys.argv) > 1 else SHIPPED
    locator = load(model, device="cpu")
    report("grounding", [Figure(f"grounding_{PHRASES}_for_1", cost(locator), "x", GOAL)])
    if data := os.environ.get("CAPTIONING_DATA"):
        for name, share in without_looking(data, proposing(locator.encoder, os.environ.get("YOLOX"))).items():
            print(f"{name:<48}{100 * share:>8.1f} %")


def without_looking(data: str, encoder: RegionEncoder | None) -> dict[str, float]:
    """Guesses on Flickr8k's dev photos, and what proposals allow."""
    source = Flickr30kEntities(f"{data}/flickr30k_entities", photos=f"{data}/flickr8k/Images", lists="flickr8k")
    examples = source.examples("val")
    low, high = (1 - MIDDLE) / 2, (1 + MIDDLE) / 2
    found = guessed("whole", examples, lambda example, phrase: (0.0, 0.0, 1.0, 1.0))
    found |= guessed("middle", examples, lambda example, phrase: (low, low, high, high))
    if encoder is not None:
        some = examples[: int(os.environ.get("PHOTOS", "200"))]
        regions = proposals(source, some, encoder)
        proposed = {key: boxes[(boxes != (0, 0, 1, 1)).any(1)] for key, boxes in regions.items()}  # no whole picture
        largest = {
            key: tuple(boxes[box_areas(boxes).argmax()].tolist()) if len(boxes) else (0.0, 0.0, 1.0, 1.0)
            for key, boxes in proposed.items()
        }
        found |= guessed("largest proposed", some, lambda example, phrase: largest[str(example.id)])
        found |= upper_bounds(some, regions)
    return found


if __name__ == "__main__":
    main()
