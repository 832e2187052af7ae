"""Detectors behind one face: a model that was trained to detect, or a detector that somebody has as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from captioning.boxes import Box
from captioning.encoders.detectors.base import Detector, Proposals
from captioning.encoders.regions import suppress
from captioning.errors import UserError
from captioning.media.pictures import as_picture
from captioning.runtime.device import working_device
from captioning.tasks.predictor import Predictor
from captioning.tasks.recognition.things import boxes_of

LEAST = 0.3  # score below which a thing is not shown
OVERLAP = 0.5  # IoU of two boxes of one label above which the likelier stays
CANDIDATES = 400  # likeliest proposals of a picture that suppression looks at


class ObjectDetector(Predictor):
    """Encoder and a task that finds things, on one device.

    >>> captioning.load("runs/scene_detection/model").detect("photo.jpg")
    [Box(x1=0.12, ..., label="red circle", score=0.98)]
    """

    def detect(self, image: Any, *, least: float = LEAST) -> list[Box]:
        """The things of a picture of at least that score, likeliest first, corners in [0, 1].

        Raises UserError naming the picture that cannot be read.
        """
        check_least(least)
        seen = self.read(image)
        if isinstance(seen, UserError):
            raise seen
        ((_, memory),) = self.memories([seen])
        with torch.inference_mode():
            (found,) = boxes_of(self.task.detect(memory.float()), self.task.labels, least=max(least, 1e-6))
        return [box for box in found if box.score >= least]


class BareDetector:
    """A `Detector` alone, such as `captioning.encoders.detectors.yolox.Yolox(file="yolox_nano.onnx")`."""

    def __init__(self, detector: Detector, *, device: str | torch.device | None = None):
        if detector.reads_annotations:
            raise UserError(f"{type(detector).__name__} finds nothing: it reads boxes that people drew")
        self.device = working_device(device)
        self.detector = detector.to(self.device).eval()

    def detect(self, image: Any, *, least: float = LEAST) -> list[Box]:
        """As `ObjectDetector.detect`; of boxes of one label that overlap by more than one half the likelier stays."""
        check_least(least)
        seen = self.detector.read(as_picture(image, self.detector.size), None)
        with torch.inference_mode():
            batch = (part.to(self.device) for part in self.detector.collate([seen]))
            found: Proposals = self.detector(*batch)
        scores, index = found.scores[0].sort(descending=True, stable=True)
        index, scores = index[:CANDIDATES], scores[:CANDIDATES]
        boxes, classes = found.boxes[0, index], found.classes[0, index]
        real = (scores > 0) & (scores >= least) & (boxes[:, 2:] > boxes[:, :2]).all(-1)
        kept = suppress(boxes[None], scores[None], classes[None], real[None], OVERLAP)[0]
        rows = zip(boxes[kept].tolist(), scores[kept].tolist(), classes[kept].tolist(), strict=True)
        return [Box(*corners, self.detector.class_names[number], score) for corners, score, number in rows]


def most_salient(boxes: Sequence[Box]) -> Box | None:
    """The one a picture is most about: score times the square root of the area, by which concepts are ordered, too."""
    return max(boxes, key=lambda box: box.score * box.area**0.5, default=None)


def open_detector(
    model: str | Path | None = None,
    file: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    allow: Sequence[str] = (),
) -> Any:
    """Whatever finds things, with the method `detect`: a YOLOX `file`, a `model` that was trained to, or the detector
    that any model looks through; without either that of the shipped captioner, where it has one.

    Raises UserError with the remedy where the model has none.
    """
    if file is not None:
        from captioning.encoders.detectors.yolox import Yolox

        return BareDetector(Yolox(file=file), device=device)
    from captioning.tasks.load import load

    predictor = load(model, device=device, allow=allow)
    if hasattr(predictor, "detect"):
        return predictor
    inside = [part for part in predictor.encoder.modules() if isinstance(part, Detector) and not part.reads_annotations]
    if not inside:
        raise UserError(
            f"{model or 'the shipped model'} has no detector in it. "
            "Name one: --detector yolox_nano.onnx, or --model of one that detects"
        )
    return BareDetector(inside[0], device=device)


def check_least(least: float) -> None:
    """Raises UserError unless it is a probability."""
    if not 0 <= least <= 1:
        raise UserError(f"least={least}: it is a probability, from 0 to 1")
