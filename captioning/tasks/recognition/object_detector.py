"""Detectors behind one face: a model that was trained to detect, or a detector that somebody has as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from captioning.boxes import Box
from captioning.encoders.detectors.bare import LEAST, BareDetector, check_least
from captioning.errors import UserError
from captioning.tasks.predictor import Predictor
from captioning.tasks.recognition.things import boxes_of


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
    if not hasattr(predictor, "detect"):
        raise UserError(
            f"{model or 'the shipped model'} has no detector in it. "
            "Name one: --detector yolox_nano.onnx, or --model of one that detects"
        )
    return predictor
