"""COCO's average precision of boxes by pycocotools, class by class, and the curves behind it. Imports no torch."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioning.boxes import Box
from captioning.errors import UserError

AREAS = ("all", "small", "medium", "large")
SIDE = 640.0  # pixels a side in which shares of a picture are counted where its size is not known


@dataclass(frozen=True)
class Precision:
    """Average precision of C classes. A value is nan where there was nothing to find."""

    classes: tuple[str, ...]
    ap: NDArray[np.float64]  # (C,)  over IoU 0.50 to 0.95
    ap50: NDArray[np.float64]  # (C,)  at IoU 0.5
    ap75: NDArray[np.float64]  # (C,)
    recall: NDArray[np.float64]  # (C,)  of at most 100 boxes an image, mean over IoU 0.50 to 0.95
    curves: NDArray[np.float64]  # (C, 101) precision at recall 0, 0.01, ..., 1 at IoU 0.5
    things: NDArray[np.int64]  # (C,)  that were to be found

    def corpus(self) -> dict[str, float]:
        """Means over the classes that were there: AP, AP50, AP75, AR@100."""
        named = {"AP": self.ap, "AP50": self.ap50, "AP75": self.ap75, "AR@100": self.recall}
        return {name: float(np.nanmean(part)) if np.isfinite(part).any() else 0.0 for name, part in named.items()}

    def mean_curve(self) -> NDArray[np.float64]:
        """(101,) precision by recall, a mean over the classes that were there."""
        there = self.things > 0
        return self.curves[there].mean(0) if there.any() else np.zeros(self.curves.shape[1])


def average_precision(
    truth: Mapping[int | str, Sequence[Box]],
    found: Mapping[int | str, Sequence[Box]],
    sizes: Mapping[int | str, tuple[int, int]] | None = None,
) -> Precision:
    """COCO's evaluation of the boxes of images by id (Lin et al. 2014): the best 100 of each image and class.

    Boxes of a label that no truth has are left out, as COCO leaves out categories that are not evaluated. `sizes` in
    pixels matter for small numbers alone. Raises UserError where there is nothing to find, or an image without result.
    """
    missing = [key for key in truth if key not in found]
    if missing:
        raise UserError(f"{len(missing):,} of {len(truth):,} pictures have no result, the first is {missing[0]}.")
    classes = tuple(sorted({box.label for boxes in truth.values() for box in boxes}))
    if not classes:
        raise UserError("there are no boxes whose names are known: nothing can be scored")
    numbers = {name: i + 1 for i, name in enumerate(classes)}
    evaluation = _evaluated(truth, found, numbers, sizes or {})
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]  # (T, R, C, A, 3), (T, C, A, 3)
    precision, recall = precision[:, :, :, 0, -1], recall[:, :, 0, -1]
    precision = np.where(precision < 0, np.nan, precision)
    recall = np.where(recall < 0, np.nan, recall)
    thresholds = evaluation.params.iouThrs
    half, three_quarters = (int(np.argmin(abs(thresholds - value))) for value in (0.5, 0.75))
    things = np.zeros(len(classes), np.int64)
    for boxes in truth.values():
        for box in boxes:
            things[numbers[box.label] - 1] += 1
    return Precision(
        classes,
        precision.mean((0, 1)),
        precision[half].mean(0),
        precision[three_quarters].mean(0),
        recall.mean(0),
        np.nan_to_num(precision[half].T),
        things,
    )


def _evaluated(truth: Mapping, found: Mapping, numbers: Mapping[str, int], sizes: Mapping) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, key in enumerate(truth, 1):
        size = sizes.get(key, (SIDE, SIDE))
        images.append({"id": number, "width": size[0], "height": size[1]})
        for box in truth[key]:
            one = _in_coco(box, number, numbers, size)
            annotations.append({**one, "id": len(annotations) + 1, "iscrowd": 0})
        for box in found[key]:
            if box.label in numbers:
                results.append({**_in_coco(box, number, numbers, size), "id": len(results) + 1, "score": box.score})
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    with redirect_stdout(io.StringIO()):  # it tells of its progress
        ours, theirs = COCO(), COCO()
        ours.dataset = {"images": images, "annotations": annotations, "categories": categories}
        theirs.dataset = {"images": images, "annotations": results, "categories": categories}
        ours.createIndex()
        theirs.createIndex()
        evaluation = COCOeval(ours, theirs, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _in_coco(box: Box, image: int, numbers: Mapping[str, int], size: tuple[float, float]) -> dict[str, Any]:
    x1, y1, x2, y2 = box.x1 * size[0], box.y1 * size[1], box.x2 * size[0], box.y2 * size[1]
    wide, high = max(0.0, x2 - x1), max(0.0, y2 - y1)
    return {
        "image_id": image,
        "category_id": numbers[box.label],
        "bbox": [x1, y1, wide, high],
        "area": wide * high,
    }
