"""A detector alone, with the face that models have which were trained to detect."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from captioning.boxes import Box
from captioning.encoders.detectors.base import Detector, Proposals
from captioning.encoders.regions import suppress
from captioning.errors import UserError
from captioning.media.pictures import as_picture
from captioning.runtime.device import working_device

LEAST = 0.3  # score below which a thing is not shown
OVERLAP = 0.5  # IoU of two boxes of one label above which the likelier stays
CANDIDATES = 400  # likeliest proposals of a picture that suppression looks at


class BareDetector:
    """A `Detector` alone, such as `captioning.encoders.detectors.yolox.Yolox(file="yolox_nano.onnx")`."""

    def __init__(self, detector: Detector, *, device: str | torch.device | None = None):
        if detector.reads_annotations:
            raise UserError(f"{type(detector).__name__} finds nothing: it reads boxes that people drew")
        self.device = working_device(device)
        self.detector = detector.to(self.device).eval()

    def detect(self, image: Any, *, least: float = LEAST) -> list[Box]:
        """The things of a picture of at least that score, likeliest first, corners in [0, 1].

        Of boxes of one label that overlap by more than one half the likelier stays. Raises UserError naming the picture
        that cannot be read.
        """
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


def detector_in(module: nn.Module) -> Detector | None:
    """The detector that an encoder looks through, at any depth; None where it has none that looks at pictures."""
    return next((m for m in module.modules() if isinstance(m, Detector) and not m.reads_annotations), None)


def check_least(least: float) -> None:
    """Raises UserError unless it is a probability."""
    if not 0 <= least <= 1:
        raise UserError(f"least={least}: it is a probability, from 0 to 1")
