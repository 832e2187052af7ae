"""The page about detections: which classes are hard, precision by recall, pictures drawn by lot and the worst."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from captioning.boxes import Box
from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.atomic import write_whole
from captioning.metrics.detection import average_precision
from captioning.reports.region_picture import box_picture
from captioning.reports.things_page import Drawn, detection_page
from captioning.tasks.recognition.things import true_boxes

SHOWN = 12  # pictures of each group
LEAST = 0.3  # score from which a box is drawn
SIDE = 360  # pixels


def write_detections(
    path: Path, examples: Sequence[Example], source: Source, found: Mapping[int | str, Sequence[Box]], *, title: str
) -> Path:
    """Writes the page and returns its path."""
    truth = {one.id: true_boxes(one) for one in examples}

    def worth(example: Example) -> float:
        here = {example.id: truth[example.id]}
        return average_precision(here, {example.id: found[example.id]}).corpus()["AP50"] if here[example.id] else 1.0

    by_lot = random.Random(0).sample(list(examples), min(SHOWN, len(examples)))
    some = random.Random(1).sample(list(examples), min(20 * SHOWN, len(examples)))  # each costs an evaluation
    worst = sorted(some, key=worth)[:SHOWN]
    groups = {
        heading: [panel(source, one, found[one.id], truth[one.id]) for one in those]
        for heading, those in (("Drawn by lot", by_lot), ("Worst", worst))
    }
    return write_whole(path, detection_page(title, average_precision(truth, found), groups))


def panel(source: Source, example: Example, found: Sequence[Box], truth: Sequence[Box]) -> Drawn:
    """A picture with what is sure enough."""
    shown = [box for box in found if box.score >= LEAST]
    there = ", ".join(sorted(box.label for box in truth)) or "nothing"
    return Drawn(str(example.id), box_picture(picture_of(source, example), shown, width=SIDE), f"There: {there}")


def picture_of(source: Source, example: Example) -> Image.Image:
    """The picture; a grey one where it cannot be read, or is none."""
    try:
        return source.image(example)
    except UserError:
        return Image.new("RGB", (SIDE, SIDE * 3 // 4), "grey")
