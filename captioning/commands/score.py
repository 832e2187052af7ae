"""What `captioning score` does: result files against references, as a table, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from captioning.errors import UserError
from captioning.files.annotations import entries, read_json
from captioning.files.atomic import write_whole
from captioning.files.terminal import cell, harmless
from captioning.metrics.bootstrap import Difference, interval, paired_difference, resampled
from captioning.metrics.caption_scores import (
    DEFAULT_METRICS,
    LOWER_IS_BETTER,
    ORDER,
    metric_names,
    score_tokens,
    tokenized,
)
from captioning.metrics.predictions import common_images, read_predictions
from captioning.metrics.references import ImageId, References, read_references
from captioning.metrics.scores import Scores

_WORST_BY = ("CIDEr", "SPICE", "METEOR", "ROUGE-L", "BLEU-4", "BLEU-3", "BLEU-2", "BLEU-1")
LEVEL = 0.95
Judge = Callable[[Sequence[Scores], Sequence[Mapping[ImageId, str]], Mapping[ImageId, Sequence[str]], References], None]
MOST_CHARACTERS = 10_000  # of a caption; the longest of Localized Narratives has a tenth of them


@dataclass(frozen=True)
class Result:
    """One result file, scored."""

    path: Path
    captions: dict[ImageId, str]
    scores: Scores
    intervals: dict[str, tuple[float, float]]
    differences: dict[str, Difference]  # to the file given with --against
    left_out: int  # images on one side only


def score(
    references: Path,
    predictions: Sequence[Path],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    json_file: Path | None = None,
    per_image: Path | None = None,
    against: Path | None = None,
    allow_missing: bool = False,
    split: str | None = None,
    instances: Path | None = None,
    judge: Judge | None = None,
    samples: int = 1000,
    seed: int = 0,
) -> int:
    """Print the scores of each result file with 95% intervals, and write them where asked. -> exit status 0.

    `against` is tested resample by resample on the same images. What cannot be read, or is not on both sides, raises
    UserError; `allow_missing` scores the common images and says how many are left out. `instances` is a file of COCO's
    instances, whose objects CHAIR takes for there beside those that the references name. `judge` adds scores of its own
    (`captioning.commands.score_by_pictures`).
    """
    names = metric_names(metrics)
    read = read_references(references)
    paths = [*predictions, *([against] if against else [])]
    every = [_named(read, read_predictions(path)) for path in paths]
    check_lengths((caption for those in read.captions.values() for caption in those), references)
    for path, one in zip(paths, every, strict=True):
        check_lengths(one.values(), path)
    captions = read.of_split(split, (image for one in every for image in one), references)
    common = [
        common_images(captions, one, names=(str(references), str(path)), allow_missing=allow_missing)
        for path, one in zip(paths, every, strict=True)
    ]
    if against:  # a paired test needs the same images
        shared = set(common[0]).intersection(*common[1:])
        common = [[image for image in common[0] if image in shared]] * len(common)
        if not shared:
            raise UserError(f"{against} and the other results have no image in common.")
    labels = None
    if instances is not None:
        if not set(LOWER_IS_BETTER) & set(names):
            raise UserError("--instances is read for CHAIR alone: ask for it with --metrics chair")
        labels = {read.image(image): found for image, found in read_labels(instances).items()}
    scores = _score_all(captions, every, common, names, labels)
    if judge is not None:
        judge(scores, every, captions, read)
    results = [
        Result(path, one, those, {}, {}, len(captions.keys() | one.keys()) - len(those.images))
        for path, one, those in zip(paths, every, scores, strict=True)
    ]
    _warn(results)
    if samples:
        results = _resampled(results, bool(against), samples, seed)
    print(table(results, against))
    if json_file:
        write_whole(json_file, json.dumps(_as_json(references, results, against, samples, seed), indent=1) + "\n")
    if per_image:
        write_whole(per_image, per_image_csv(results))
    return 0


def check_lengths(captions: Iterable[str], path: Path) -> None:
    """Raises UserError naming the file where a caption is far longer than any is."""
    longest = max(captions, key=len, default="")
    if len(longest) > MOST_CHARACTERS:
        raise UserError(
            f"{path}: a caption has {len(longest):,} characters, more than {MOST_CHARACTERS:,}: it begins with "
            f"{longest[:40]!r}. Check that it is the right file."
        )


def _named(references: References, predictions: dict[ImageId, str]) -> dict[ImageId, str]:
    named: dict[ImageId, str] = {}
    for name, caption in predictions.items():
        image = references.image(name)
        if image in named:
            raise UserError(f"two predictions are of the image {image}, one of them under {name!r}. Keep one.")
        named[image] = caption
    return named


def _score_all(
    captions: dict[ImageId, list[str]],
    every: Sequence[dict[ImageId, str]],
    images: Sequence[list[ImageId]],
    names: Sequence[str],
    labels: Mapping[ImageId, Collection[str]] | None,
) -> list[Scores]:
    scored = []
    for one, those in zip(every, images, strict=True):
        scores = score_tokens(those, *tokenized(those, captions, one), names, labels)
        # What is missing is missing for every file: ask and warn once.
        names = [name for name in names if name not in scores.unavailable]
        scored.append(scores)
        if not names:
            raise UserError(next(iter(scores.unavailable.values())))
    return scored


def read_labels(path: Path) -> dict[int | str, frozenset[str]]:
    """Image id -> the names of what is in it, of a file of COCO's instances. Raises UserError naming the file."""
    document = read_json(path, "Name a file such as instances_val2017.json.")
    names = {one["id"]: one["name"] for one in entries(document, "categories", {"id": int, "name": str}, path)}
    found = defaultdict(set)
    for index, one in enumerate(entries(document, "annotations", {"image_id": (int, str), "category_id": int}, path)):
        if one["category_id"] not in names:
            raise UserError(f"{path}: annotations[{index}] has the category {one['category_id']}, which is not listed")
        found[one["image_id"]].add(names[one["category_id"]])
    return {image: frozenset(labels) for image, labels in found.items()}


def _warn(results: Sequence[Result]) -> None:
    for result in results:
        if result.left_out:
            scored = len(result.scores.images)
            print(f"{result.path}: scored {scored:,} images, left out {result.left_out:,}.", file=sys.stderr)
        for remark in result.scores.remarks:
            print(f"{result.path}: {remark}", file=sys.stderr)


def _resampled(results: list[Result], compare: bool, samples: int, seed: int) -> list[Result]:
    """The results with intervals, and with the differences of all but the last to the last."""
    drawn = [resampled(one.scores.resamplable, len(one.scores.images), samples, seed) for one in results]
    done = []
    for result, values in zip(results, drawn, strict=True):
        differences = {}
        if compare and result is not results[-1]:
            for name in values.keys() & drawn[-1].keys():
                gain = result.scores.corpus[name] - results[-1].scores.corpus[name]
                differences[name] = paired_difference(values[name], drawn[-1][name], gain, LEVEL)
        intervals = {name: interval(value, LEVEL) for name, value in values.items()}
        done.append(replace(result, intervals=intervals, differences=differences))
    return done


def table(results: Sequence[Result], against: Path | None) -> str:
    """The scores times 100 with their intervals, a row a metric, a column a result file."""
    rows = [["x100", *(str(result.path) for result in results)]]
    rows.append(["images", *(f"{len(result.scores.images):,}" for result in results)])
    for name in ORDER:
        if any(name in result.scores.corpus for result in results):
            rows.append([name, *(_cell(result, name) for result in results)])
    lines = _aligned(rows)
    compared = [result for result in results if result.differences]
    for result in compared:
        lines += ["", f"{result.path} minus {against}, paired bootstrap:"]
        found = [(name, result.differences[name]) for name in ORDER if name in result.differences]
        lines += _aligned([[name, _difference(difference)] for name, difference in found])
    return "\n".join(lines)


def _cell(result: Result, name: str) -> str:
    if name not in result.scores.corpus:
        return "-"
    low, high = result.intervals.get(name, (np.nan, np.nan))
    value = f"{100 * result.scores.corpus[name]:.2f}"
    return value if np.isnan(low) else f"{value} [{100 * low:.2f}, {100 * high:.2f}]"


def _difference(found: Difference) -> str:
    return f"{100 * found.value:+.2f} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]  p = {found.p_value:.3f}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _as_json(
    references: Path, results: Sequence[Result], against: Path | None, samples: int, seed: int
) -> dict[str, Any]:
    return {
        "references": str(references),
        "against": str(against) if against else None,
        "bootstrap": {"samples": samples, "seed": seed, "level": LEVEL},
        "results": [
            {
                "predictions": str(result.path),
                "images": len(result.scores.images),
                "left_out": result.left_out,
                "scores": result.scores.corpus,
                "intervals": result.intervals,
                "differences": {name: asdict(found) for name, found in result.differences.items()},
                "unavailable": result.scores.unavailable,
                "remarks": result.scores.remarks,
            }
            for result in results
        ],
    }


def per_image_csv(results: Sequence[Result]) -> str:
    """One line for each image of each result file, the worst first: by CIDEr, or the best other metric there is."""
    names = [name for name in ORDER if name in results[0].scores.per_image]
    by = next((name for name in _WORST_BY if name in names), names[0])
    worst_first = -1 if by in LOWER_IS_BETTER else 1
    lines = []
    for result in results:
        values = np.column_stack([result.scores.per_image[name] for name in names]).tolist()
        for image, row in zip(result.scores.images, values, strict=True):
            texts = (str(result.path), image, result.captions[image])
            lines.append([*(cell(harmless(one) if isinstance(one, str) else one) for one in texts), *row])
    lines.sort(key=lambda line: worst_first * line[3 + names.index(by)])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["predictions", "image_id", "caption", *names])
    writer.writerows(lines)
    return text.getvalue()
