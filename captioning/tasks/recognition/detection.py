"""Detection of all: a picture in, the boxes of its things with their labels out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from captioning.boxes import Box
from captioning.data.graphs import vocabulary
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.heads.detection import Detected, SetDetection, Things, detection_losses
from captioning.memory import VisualMemory
from captioning.metrics.detection import average_precision
from captioning.metrics.scores import Scores
from captioning.tasks.base import Build, Parts
from captioning.tasks.recognition.labelled_task import LabelledTask
from captioning.tasks.recognition.things import (
    boxes_of,
    true_boxes,
    true_things,
)


class Detection(LabelledTask):
    """A head says the set of things of a memory; learned with Hungarian matching, judged by COCO's average precision.

    Args:
        head: configuration of a `SetDetection`, without the sizes that follow from encoder and labels.
        min_count: training boxes that a label has at least.
    """

    needs = ("boxes",)
    monitor = ("val/AP50", "max")
    columns = ("AP", "AP50")
    things = "boxes"
    metrics = ("detection",)

    def __init__(self, *, head: Mapping[str, Any], min_count: int = 1):
        super().__init__(head, min_count)

    def fit(self, examples: Sequence[Example]) -> None:
        self.labels = vocabulary((label for one in examples for label in one.labels), min_count=self.min_count)
        if not self.labels:
            raise UserError("no training picture has a box with a label: there is nothing to detect")

    def build(self, encoder: Encoder, instantiate: Build) -> None:
        sizes = {"visual_width": encoder.width, "labels": len(self.labels)}
        self.head: SetDetection = instantiate(self.parts["head"], kind=SetDetection, **sizes)

    def targets(self, examples: Sequence[Example], epoch: int) -> Things:
        return true_things(examples, {label: i for i, label in enumerate(self.labels)})

    def loss(self, memory: VisualMemory, targets: Things, ids: Sequence[int | str]) -> tuple[torch.Tensor, Parts]:
        parts = detection_losses(self.head(memory), targets)
        loss = sum(parts.values())
        return loss, {"loss": loss, **{name: part.detach() for name, part in parts.items()}}

    def detect(self, memory: VisualMemory) -> Detected:
        """What the slots say of each image."""
        return self.head(memory)

    @torch.no_grad()
    def predict(self, memory: VisualMemory, targets: Any) -> list[list[dict[str, Any]]]:
        """Of each image its boxes in [0, 1], likeliest first."""
        return [[box.to_dict() for box in boxes] for boxes in boxes_of(self.detect(memory), self.labels)]

    def score(
        self, predictions: Mapping[int | str, Any], examples: Sequence[Example], *, metrics: Sequence[str] = ()
    ) -> Scores:
        """COCO's AP, AP50, AP75 and AR@100; where `metrics` are named also the AP50 of each class."""
        unknown = [name for name in metrics if name not in self.metrics]
        if unknown:
            raise UserError(f"there is no metric {unknown[0]!r} of detections. Choose from {', '.join(self.metrics)}.")
        precision = average_precision(
            {one.id: true_boxes(one) for one in examples},
            {key: [as_box(box) for box in boxes] for key, boxes in predictions.items()},
        )
        corpus = precision.corpus()
        if metrics:
            corpus |= {f"AP50 ({name})": float(v) for name, v in zip(precision.classes, precision.ap50, strict=True)}
        return Scores(tuple(one.id for one in examples), corpus, {})

    def tally(self, examples: Sequence[Example]) -> str:
        return f"{sum(len(example.boxes) for example in examples):,} boxes"

    def results(self, predictions: Mapping[int | str, Any]) -> list[dict[str, Any]]:
        """A line a box, as COCO's results have them but for the corners in [0, 1]."""
        return [{"image_id": key, **box} for key, boxes in predictions.items() for box in boxes]

    def report(
        self,
        path: Path,
        predictor: Any,
        examples: Sequence[Example],
        source: Any,
        predictions: Mapping[int | str, Any],
        scores: Scores,
        *,
        title: str,
    ) -> Path:
        """The table of classes, precision by recall, and pictures with what was found beside what is there."""
        from captioning.tasks.recognition.evaluation import write_detections

        found = {key: [as_box(box) for box in boxes] for key, boxes in predictions.items()}
        return write_detections(path, examples, source, found, title=title)

    def predictor(self, bundle: Any, device: str | torch.device | None = None) -> Any:
        """An `ObjectDetector`."""
        from captioning.tasks.recognition.object_detector import ObjectDetector

        return ObjectDetector(bundle, device=device)


def as_box(content: Mapping[str, Any]) -> Box:
    """A box as `Box.to_dict` wrote it."""
    return Box(*content["box"], content["label"], content["score"])
