"""Fitting how sure captions are to how many of them are right, on photos that the model was not trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioning.data.source import Source
from captioning.metrics.chair import objects_there
from captioning.models.bundle import Bundle
from captioning.tasks.captioning.confidence import confidence_of, fit_confidence, is_right, reliability
from captioning.tasks.predictor import Predictor
from captioning.text.tokenizer import tokenize


def calibrated(predictor: Predictor, source: Source, split: str, **options: Any) -> tuple[Bundle, NDArray[np.float64]]:
    """The model with a confidence fitted to a split, and its reliability there (see `reliability`).

    Raises UserError where all or none of the captions are right.
    """
    task = predictor.task

    def scored(memory, targets):
        return [(found[0].text, found[0].score) for found in task.describe(memory, task.generation)]

    examples, found = predictor.predict_split(source, split, predict=scored, **options)
    scores = [found[example.id][1] for example in examples]
    there = [objects_there([tokenize(text) for text in e.captions], e.labels) for e in examples]
    right = [is_right(tokenize(found[e.id][0]), those) for e, those in zip(examples, there, strict=True)]
    curve = fit_confidence(scores, right)
    changed = task.of(task.decoder, task.vocabulary, task.generation, task.parts)
    changed.confidence = curve
    bins = reliability([confidence_of(score, curve) for score in scores], right)
    return replace(predictor.bundle, task=changed.eval()), bins
