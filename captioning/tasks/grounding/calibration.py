"""Fitting how sure boxes are to how many of them are right, on photos that the model was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
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
from captioning.tasks.captioning.confidence import AS_IT_IS, confidence_of, fit_confidence, reliability
from captioning.tasks.predictor import Predictor

if TYPE_CHECKING:
    from captioning.memory import VisualMemory

Array = NDArray[np.float64]


def calibrated(predictor: Predictor, source: Source, split: str, **options: Any) -> tuple[Bundle, NDArray[np.float64]]:
    """The model with a confidence fitted to a split, and its reliability there (see `reliability`).

    A box is right where it overlaps what is meant by one half; that of what is not there never is. Where the split has
    phrases that are not there, how likely things are to be there is fitted before. Raises UserError where all boxes or
    none are right.
    """
    task = deepcopy(predictor.task)
    task.calibration.copy_(torch.tensor([1.0, 0.0]))
    task.presence = dict(AS_IT_IS)

    def found(memory: VisualMemory, targets: Any) -> list[list[dict[str, Any]]]:
        return task.predict(memory, targets)

    examples, predictions = predictor.predict_split(source, split, predict=found, **options)
    pairs = [(phrase, one) for e in examples for phrase, one in zip(e.phrases, predictions[e.id], strict=True)]
    present = [bool(phrase.boxes) for phrase, _ in pairs]
    odds = np.array([one["odds"] for _, one in pairs])
    if not all(present):
        believed = np.array([one["there"] for _, one in pairs]).clip(1e-12, 1 - 1e-12)
        there = np.log(believed) - np.log1p(-believed)
        task.presence = fit_confidence(there, present)
        odds = with_presence(odds, there, task.presence)
    right = [bool(p.boxes) and overlap(tuple(one["box"]), [union_box(p.boxes)]) >= OVERLAP for p, one in pairs]
    curve = fit_confidence(odds, right)
    task.calibration.copy_(torch.tensor([curve["slope"], curve["offset"]]))
    return replace(predictor.bundle, task=task), reliability(
        [confidence_of(one, curve) for one in odds], right, bins=10
    )


def with_presence(odds: Array, there: Array, curve: Mapping[str, float]) -> Array:
    """Log-odds of a thing being there and its box right, of log-odds `there` -> where these are as the curve says."""
    likely = -np.logaddexp(0, -odds) + np.logaddexp(0, -there)  # log of the box being right, if it is there
    both = likely.clip(max=0) - np.logaddexp(0, -(curve["slope"] * there + curve["offset"]))
    return both - np.log(-np.expm1(np.minimum(both, -1e-12)))
