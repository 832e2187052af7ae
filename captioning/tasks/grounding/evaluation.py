"""The page about boxes: which kinds of phrases are hard, the surest and the worst of what was found."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from captioning.boxes import Box
from captioning.data.phrases import Phrase
from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.atomic import write_whole
from captioning.metrics.box_scores import OVERLAP, overlap
from captioning.metrics.scores import Scores
from captioning.reports.boxes_page import LocatedPhrase, boxes_page

SHOWN = 12  # phrases of each group

Judged = tuple[Example, Phrase, Box, float]


def write_boxes(
    path: Path,
    examples: Sequence[Example],
    source: Source,
    predictions: Mapping[int | str, Sequence[Mapping[str, Any]]],
    scores: Scores,
    *,
    title: str,
) -> Path:
    """Writes the page and returns its path. Phrases drawn by lot show what is usual, failures what is not."""
    judged: list[Judged] = []
    for example in examples:
        for phrase, found in zip(getattr(example, "phrases", ()), predictions[example.id], strict=True):
            box = Box(*found["box"], phrase.text, found["score"])
            judged.append((example, phrase, box, overlap(box.corners, phrase.boxes) if phrase.boxes else 0.0))
    there = [one for one in judged if one[1].boxes]
    absent = [one for one in judged if not one[1].boxes]
    wrong = [one for one in there if one[3] < OVERLAP]
    groups = {
        "Drawn by lot": random.Random(0).sample(there, min(SHOWN, len(there))),
        "Wrong, and sure of it": sorted(wrong, key=lambda one: -one[2].score)[:SHOWN],
        "Wrong, drawn by lot": random.Random(1).sample(wrong, min(SHOWN, len(wrong))),
        "Not there, and yet found": sorted(absent, key=lambda one: -one[2].score)[:SHOWN],
    }
    drawn = {heading: [panel(source, *one) for one in those] for heading, those in groups.items()}
    return write_whole(path, boxes_page(title, scores, drawn))


def panel(source: Source, example: Example, phrase: Phrase, found: Box, iou: float) -> LocatedPhrase:
    """One phrase on the page. A picture that cannot be read, or is none, is a grey one."""
    try:
        picture = source.image(example)
    except UserError:
        picture = Image.new("RGB", (320, 240), "grey")
    return LocatedPhrase(str(example.id), picture, phrase.text, phrase.kind, found, phrase.boxes, iou)
