"""Which maps tell regions apart: a linear classifier of the classes that a detector is sure of, on Flickr8k.

CAPTIONING_DATA=DIR python tests/benchmarks/region_probe.py yolox_nano.onnx [1600]
"""

from __future__ import annotations

import os
import sys

import torch
from torch import Tensor

from captioning.data.benchmarks.flickr8k import Flickr8k
from captioning.encoders.detectors.yolox import Yolox
from captioning.encoders.regions import RegionEncoder
from captioning.runtime.allocator import keep_freed_memory

SURE = 0.35  # score from which the detector's class is taken for the truth
SMALL = 0.05  # share of the photo
LEAST = 15  # regions of a class that is told apart
STRENGTHS = (1e2, 1e3, 1e4, 3e4, 1e5, 3e5)  # of the ridge; the best is reported, for every map alike
BATCH = 16


def regions(encoder: RegionEncoder, source: Flickr8k, examples: list) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features (regions, D), classes, areas and the number of the photo of every region that is sure."""
    found = []
    for start in range(0, len(examples), BATCH):
        batch = [encoder.read(source.image(example)) for example in examples[start : start + BATCH]]
        with torch.inference_mode():
            memory = encoder(encoder.collate(batch))
        sure = memory.mask & (memory.scores > SURE)
        areas = (memory.boxes[..., 2:] - memory.boxes[..., :2]).prod(-1)
        photos = start + torch.arange(len(batch))[:, None].expand_as(sure)
        found.append([part[sure] for part in (memory.tokens, memory.classes, areas, photos)])
    return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def accuracy(features: Tensor, classes: Tensor, small: Tensor, train: Tensor) -> tuple[float, float]:
    """Share of the other regions that a ridge classifier fitted to `train` names right: of all, and of the small."""
    mean, spread = features[train].mean(0), features[train].std(0) + 1e-6
    scaled = (features - mean) / spread * (100 / features.shape[1]) ** 0.5
    design = torch.cat([scaled, torch.ones(len(scaled), 1)], 1)
    names, numbers = classes.unique(return_inverse=True)
    targets = torch.nn.functional.one_hot(numbers, len(names)).float()
    weight = numbers[train].bincount(minlength=len(names)).clamp(min=1).float()[numbers[train]] ** -0.5
    weighted = (design[train] * weight[:, None]).T
    gram, product = weighted @ design[train], weighted @ targets[train]
    results = []
    for strength in STRENGTHS:
        solution = torch.linalg.solve(gram + 1e-3 * strength * torch.eye(len(gram)), product)
        right = ((design[~train] @ solution).argmax(1) == numbers[~train]).float()
        results.append((right.mean().item(), right[small[~train]].mean().item()))
    return max(results)


def main(file: str, photos: int) -> None:
    keep_freed_memory()
    source = Flickr8k(f"{os.environ['CAPTIONING_DATA']}/flickr8k")
    examples = source.examples("train")[:photos]
    detector = Yolox(file=file)
    print(f"{'features':<24}{'values':>8}{'all':>8}{'small':>8}")
    for size in (224, 320):
        encoder = RegionEncoder(detector=detector, size=size).eval()
        tokens, classes, areas, photo = regions(encoder, source, examples)
        often = (classes.bincount(minlength=len(encoder.class_names)) >= LEAST)[classes]
        tokens, classes, areas, photo = (part[often] for part in (tokens, classes, areas, photo))
        last = encoder.grid.widths[0]
        for name, part in (("last map", tokens[:, :last]), ("both maps", tokens)):
            share, of_small = accuracy(part, classes, areas < SMALL, photo < 0.75 * photos)
            print(f"{size} pixels, {name:<12}{part.shape[1]:>8,}{share:>8.3f}{of_small:>8.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1600)
