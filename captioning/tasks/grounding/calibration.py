"""Fitting how sure boxes are to how many of them are right, on photos that the model was not trained on."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from captioning.boxes import union_box
from captioning.data.source import Source
from captioning.metrics.box_scores import OVERLAP, overlap
from captioning.models.bundle import Bundle
from captioning.tasks.captioning.confidence import confidence_of, fit_confidence, reliability
from captioning.tasks.predictor import Predictor

if TYPE_CHECKING:
    from captioning.memory import VisualMemory


def calibrated(predictor: Predictor, source: Source, split: str, **options: Any) -> tuple[Bundle, NDArray[np.float64]]:
    """The model with a confidence fitted to a split, and its reliability there (see `reliability`).

    A box is right where it overlaps what is meant by one half; that of what is not there never is. Raises UserError
    where all or none are.
    """
    task = deepcopy(predictor.task)
    task.calibration.copy_(torch.tensor([1.0, 0.0]))

    def found(memory: VisualMemory, targets: Any) -> list[list[dict[str, Any]]]:
        return task.predict(memory, targets)

    examples, predictions = predictor.predict_split(source, split, predict=found, **options)
    pairs = [(phrase, one) for e in examples for phrase, one in zip(e.phrases, predictions[e.id], strict=True)]
    odds = [one["odds"] for _, one in pairs]
    right = [bool(p.boxes) and overlap(tuple(one["box"]), [union_box(p.boxes)]) >= OVERLAP for p, one in pairs]
    curve = fit_confidence(odds, right)
    task.calibration.copy_(torch.tensor([curve["slope"], curve["offset"]]))
    return replace(predictor.bundle, task=task), reliability(
        [confidence_of(one, curve) for one in odds], right, bins=10
    )
