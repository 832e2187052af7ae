"""How sure a caption is to be right, from the score that it was chosen by; and what to say where it is not sure enough.

A caption is *right* here where it names something that is there and nothing that is not, of COCO's objects (see
`captioning.metrics.chair`). Its confidence is the share of captions with such a score that were right, by a logistic
curve (Platt 1999) through the captions of photos that the model was not trained on.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from captioning.errors import UserError
from captioning.metrics.chair import objects_named
from captioning.runtime.option_checks import require_number
from captioning.tasks.captioning.caption import Caption

STEPS = 100  # of Newton's method, which needs about ten
AS_IT_IS = {"slope": 1.0, "offset": 0.0}  # the curve of log-odds that are as they should be
LEAST_BELIEF = 0.5  # of what is named instead of a sentence


def is_right(words: Sequence[str], there: Collection[str]) -> bool:
    """Whether a tokenized caption names something that is there, and nothing that is not."""
    named = objects_named(words)
    return bool(named) and not any(names.isdisjoint(there) for names in named)


def fit_confidence(scores: Sequence[float], right: Sequence[bool]) -> dict[str, float]:
    """The logistic curve of being right over the score -> its slope and offset.

    Targets are drawn in from 0 and 1 as Platt does, so that the curve is no step where the score tells all.
    Raises UserError where all captions are right, or none is.
    """
    y, x = np.asarray(right, bool), np.asarray(scores, float)
    good, bad = int(y.sum()), int((~y).sum())
    if not good or not bad:
        raise UserError(
            f"of {len(y)} captions {good} are right: a confidence needs some that are and some that are not"
        )
    target = np.where(y, (good + 1) / (good + 2), 1 / (bad + 2))
    rows = np.stack([(x - x.mean()) / (x.std() + 1e-9), np.ones_like(x)], 1)
    weights = np.zeros(2)
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-rows @ weights))
        curvature = rows.T @ (rows * (p * (1 - p))[:, None]) + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, rows.T @ (target - p))
        weights = weights + step
        if np.abs(step).max() < 1e-10:
            break
    slope = weights[0] / (x.std() + 1e-9)
    return {"slope": float(slope), "offset": float(weights[1] - slope * x.mean())}


def confidence_of(score: float, curve: Mapping[str, float]) -> float:
    """The probability that a caption of this score is right; 0 for one that there is not."""
    if not math.isfinite(score):
        return 0.0
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, curve["slope"] * score + curve["offset"]))))


def check_curve(curve: Mapping[str, float]) -> dict[str, float]:
    """The curve as plain numbers. Raises UserError where it is none."""
    require_number("confidence.", **{name: curve.get(name, math.nan) for name in ("slope", "offset")})
    return {"slope": float(curve["slope"]), "offset": float(curve["offset"])}


def reliability(confidence: Sequence[float], right: Sequence[bool], *, bins: int = 5) -> NDArray[np.float64]:
    """Of as many captions in each bin, the least sure first: mean confidence, share right, number. (bins, 3)"""
    p, y = np.asarray(confidence, float), np.asarray(right, float)
    parts = [part for part in np.array_split(np.argsort(p, kind="stable"), bins) if len(part)]
    return np.array([[p[part].mean(), y[part].mean(), len(part)] for part in parts])


def hedged(caption: Caption, least: float) -> Caption:
    """The caption, or where it is less sure than `least`, the most salient thing that is seen, "Probably a dog."; or no
    words.

    Raises UserError for a caption of a model that was never calibrated.
    """
    if caption.confidence is None:
        raise UserError(
            "--min-confidence needs a model that knows how sure it is: captioning evaluate model=NAME calibrate=FOLDER"
        )
    if caption.confidence >= least:
        return caption
    name = next((name for name, belief in caption.believed if belief >= LEAST_BELIEF), None)
    if name is None:
        return replace(caption, text="", words=[])
    words = ["probably", "an" if name[0] in "aeiou" else "a", *name.split()]
    return replace(caption, text=f"Probably {' '.join(words[1:])}.", words=words)
