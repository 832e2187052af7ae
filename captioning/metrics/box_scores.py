"""How well boxes of phrases are found: accuracy by overlap, the pointing game, and how true the confidence is.

Imports no torch. Boxes are corners in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from captioning.boxes import Corners, box_ious, union_box
from captioning.errors import UserError
from captioning.metrics.bootstrap import mean_of
from captioning.metrics.scores import Scores

OVERLAP = 0.5  # least IoU of a box that is right
METRICS = {  # what a user may ask for -> the names reported, in the order of the table
    "boxes": ("acc@0.5", "pointing"),
    "overlap": ("mean IoU",),
    "calibration": ("calibration error",),
    "absence": ("rejected at 3% loss", "rejected at 5% loss", "rejected at 10% loss", "presence error"),
}
LOSSES = (0.03, 0.05, 0.10)  # of what is there, at which it is said how much of what is not is rejected


@dataclass(frozen=True)
class Place:
    """What was found of a phrase: the box, the point of highest weight (x, y), the probability that the box is right,
    and that what is meant is there at all."""

    box: Corners
    point: tuple[float, float]
    score: float = 1.0
    there: float = 1.0


@dataclass(frozen=True)
class Truth:
    """Where a phrase is: its boxes, none where it is not there; and its kind."""

    boxes: tuple[Corners, ...]
    kind: str = ""


def overlap(found: Corners, boxes: Sequence[Corners], several: Literal["union", "any"] = "union") -> float:
    """The IoU of a box with the box around all true ones ("union", as most report it), or with the best of them."""
    return float(box_ious([found], [union_box(boxes)] if several == "union" else boxes).max())


def points_at(point: tuple[float, float], boxes: Sequence[Corners]) -> bool:
    """Whether a point lies in one of the boxes, their edges included."""
    return any(x1 <= point[0] <= x2 and y1 <= point[1] <= y2 for x1, y1, x2, y2 in boxes)


def score_places(
    truth: Mapping[int | str, Truth],
    places: Mapping[int | str, Place],
    *,
    metrics: Sequence[str] = ("boxes",),
    several: Literal["union", "any"] = "union",
    kinds: bool = False,
) -> Scores:
    """Scores over phrases by id, in the order of `truth`; with `kinds` also by kind of phrase.

    Accuracy and pointing are over phrases that are somewhere. Where others are not there, "absent AUC" is the chance
    that a phrase which is there is believed to be so more than one which is not, and "rejected at 3% loss" the share of
    these that are believed less than all but 3% of those ("absence"; "presence error" is the calibration error of that
    belief). Raises UserError for an unknown metric
    or a phrase for which nothing was found.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        wrong = f"there is no metric {unknown[0]!r} of boxes" if unknown else "no metric is named"
        raise UserError(f"{wrong}. Choose from {', '.join(METRICS)}.")
    missing = [key for key in truth if key not in places]
    if missing:
        raise UserError(f"{len(missing):,} of {len(truth):,} phrases have no box, the first is {missing[0]}.")
    there = [key for key, one in truth.items() if one.boxes]
    if not there:
        raise UserError("there are no phrases whose boxes are known: nothing can be scored")
    ious = np.array([overlap(places[key].box, truth[key].boxes, several) for key in there])
    points = np.array([points_at(places[key].point, truth[key].boxes) for key in there], float)
    right = {key: iou >= OVERLAP for key, iou in zip(there, ious, strict=True)}
    values: dict[str, NDArray[np.float64]] = {}
    if "boxes" in metrics:
        values |= {"acc@0.5": (ious >= OVERLAP).astype(float), "pointing": points}
    if "overlap" in metrics:
        values["mean IoU"] = ious
    scores = Scores(tuple(there), {}, values, {name: mean_of(part) for name, part in values.items()})
    scores.corpus.update({name: float(part.mean()) for name, part in values.items()})
    sure = np.array([places[key].score for key in truth])
    present = np.array([bool(one.boxes) for one in truth.values()])
    if "calibration" in metrics:
        scores.corpus["calibration error"] = calibration_error(sure, np.array([right.get(key, False) for key in truth]))
    if not present.all():
        believed = np.array([places[key].there for key in truth])
        scores.corpus["absent AUC"] = ranking(believed[present], believed[~present])
        if "absence" in metrics:
            for loss in LOSSES:
                share = rejected(believed[present], believed[~present], loss)
                scores.corpus[f"rejected at {loss:.0%} loss"] = share
            scores.corpus["presence error"] = calibration_error(believed, present)
            every = np.array([one.kind for one in truth.values()])
            for kind in sorted(set(every[present]) & set(every[~present]) - {""}) if kinds else ():
                same = every == kind
                scores.corpus[f"absent AUC ({kind})"] = ranking(believed[present & same], believed[~present & same])
    if kinds:
        named = np.array([truth[key].kind for key in there])
        for name, part in values.items():
            for kind, _ in sorted(zip(*np.unique(named, return_counts=True), strict=True), key=lambda one: -one[1]):
                if kind:
                    scores.corpus[f"{name} ({kind})"] = float(part[named == kind].mean())
    return scores


def calibration_error(sure: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, arXiv:1706.04599): how far confidence is from the share that is
    right, in bins of equal width, weighed by how much lies in each."""
    place = np.minimum((np.asarray(sure) * bins).astype(int), bins - 1)
    error = 0.0
    for number in np.unique(place):
        inside = place == number
        error += inside.mean() * abs(float(np.mean(sure[inside])) - float(np.mean(right[inside])))
    return float(error)


def ranking(high: NDArray[np.float64], low: NDArray[np.float64]) -> float:
    """The chance that one of `high` is above one of `low`, ties counted as half: the area under the ROC curve."""
    order = np.sort(low)
    below = np.searchsorted(order, high, "left") + np.searchsorted(order, high, "right")
    return float(below.mean() / (2 * len(low)))


def rejected(there: NDArray[np.float64], absent: NDArray[np.float64], loss: float) -> float:
    """The share of what is not there that is believed less than all of what is, but for a share `loss` of it."""
    limit = np.sort(there)[min(int(loss * len(there)), len(there) - 1)]
    return float(np.mean(absent < limit))
