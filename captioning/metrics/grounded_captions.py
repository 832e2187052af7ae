"""Grounding of generated captions (Zhou et al., CVPR 2019, arXiv:1812.06587): are objects named, and in their places?

Imports no torch. Boxes are corners in [0, 1].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from captioning.boxes import Corners, box_ious
from captioning.metrics.box_scores import OVERLAP
from captioning.metrics.references import ImageId

Objects = Sequence[tuple[str, Sequence[Corners]]]  # (name, boxes) of each thing that is named


def score_grounded(truth: Mapping[ImageId, Objects], found: Mapping[ImageId, Objects]) -> dict[str, float]:
    """F1_all, F1_loc and what they are made of, from 0 to 1; names are compared as they are.

    A thing that a caption names is right where people name it of that picture as well, and one of the boxes found for
    it overlaps one of theirs by an IoU of one half. Precision is the share of named things that are right, recall that
    of people's things; F1_all is of their means over all names. F1_loc looks only at things that both name. Of a name
    that a picture has several times the boxes are put together.
    """
    precision, recall = _Shares(), _Shares()
    precision_loc, recall_loc = _Shares(), _Shares()
    for key, wanted in truth.items():
        true, named = _by_name(wanted), _by_name(found.get(key, ()))
        for name, boxes in named.items():
            right = name in true and _overlap(boxes, true[name])
            precision.add(name, right)
            if name in true:
                precision_loc.add(name, right)
        for name, boxes in true.items():
            right = name in named and _overlap(named[name], boxes)
            recall.add(name, right)
            if name in named:
                recall_loc.add(name, right)
    both = {"all": (precision.mean(), recall.mean()), "loc": (precision_loc.mean(), recall_loc.mean())}
    return {
        **{f"F1_{kind}": _f1(*pair) for kind, pair in both.items()},
        "precision": both["all"][0],
        "recall": both["all"][1],
        "named rightly and in place": precision_loc.share(),
    }


class _Shares:
    """How often something was right, by name."""

    def __init__(self) -> None:
        self.right: dict[str, list[bool]] = defaultdict(list)

    def add(self, name: str, right: bool) -> None:
        self.right[name].append(right)

    def mean(self) -> float:
        """The mean over names of their shares; 0 where there is none."""
        return float(np.mean([np.mean(those) for those in self.right.values()])) if self.right else 0.0

    def share(self) -> float:
        """Over all, whatever their names."""
        return float(np.mean([one for those in self.right.values() for one in those])) if self.right else 0.0


def _by_name(objects: Objects) -> dict[str, list[Corners]]:
    found: dict[str, list[Corners]] = {}
    for name, boxes in objects:
        found.setdefault(name, []).extend(boxes)
    return found


def _overlap(ones: Sequence[Corners], others: Sequence[Corners]) -> bool:
    return bool(len(ones) and len(others) and box_ious(ones, others).max() >= OVERLAP)


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
