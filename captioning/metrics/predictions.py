"""Predicted captions: read from result files, gathered from processes, and held against the references."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from captioning.errors import UserError
from captioning.files.annotations import entries, parse_json, read_text
from captioning.metrics.references import ID_FIELDS, ImageId, captions_of, is_plain, read_json_lines


def read_predictions(path: Path) -> dict[ImageId, str]:
    """The caption of each image in a COCO result file, JSON lines, one JSON object {id: caption}, or the CSV that
    `captioning caption --output` writes, in its order. Raises UserError.
    """
    text = read_text(path)
    start = text.lstrip()[:1]
    if path.suffix.lower() == ".csv" and start not in ("{", "["):
        pairs = _csv_lines(text, path)
    else:
        pairs = _coco_results(text, path) if start == "[" else _plain(text, path) or _json_lines(text, path)
    if not pairs:
        raise UserError(f"{path} holds no captions. Check that it is the right file.")
    captions: dict[ImageId, str] = {}
    again: dict[ImageId, str] = {}
    for image, caption in pairs:
        if image in captions:
            again.setdefault(image, caption)
        captions.setdefault(image, caption)
    if again:
        first, caption = next(iter(again.items()))
        same = "the same caption" if captions[first] == caption else "two captions"
        count = f"{len(again):,} images occur" if len(again) > 1 else "1 image occurs"
        raise UserError(f"{path}: {count} more than once, the first is {first} with {same}. Keep one caption an image.")
    return captions


def _coco_results(text: str, path: Path) -> list[tuple[ImageId, str]]:
    listed = entries({"results": parse_json(text, path)}, "results", {"image_id": (int, str), "caption": str}, path)
    return [(one["image_id"], one["caption"]) for one in listed]


def _json_lines(text: str, path: Path) -> list[tuple[ImageId, str]]:
    pairs = []
    for place, image, entry in read_json_lines(text, path):
        caption = entry.get("caption")
        if not isinstance(caption, str):
            raise UserError(f"{place}: caption should be a text, found {'none' if caption is None else caption!r}.")
        pairs.append((image, caption))
    return pairs


def _plain(text: str, path: Path) -> list[tuple[ImageId, str]] | None:
    """The captions of a file that is one plain object; None where it is lines of objects."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):  # several lines, or damaged: who reads the lines says where
        return None
    if not is_plain(document):
        return None
    pairs = []
    for image, value in document.items():
        captions = captions_of(value, path, image)
        if len(captions) > 1:
            raise UserError(f"{path}: {image} has {len(captions)} captions. Keep one caption an image.")
        pairs.append((image, captions[0]))
    return pairs


def _csv_lines(text: str, path: Path) -> list[tuple[ImageId, str]]:
    try:
        lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        columns = list(lines.fieldnames or ())
        named = next((name for name in ID_FIELDS if name in columns), None)
        if named is None or "caption" not in columns:
            header = ",".join(columns)[:80]
            raise UserError(f"{path} has the columns {header!r}. It needs file (or image_id) and caption.")
        pairs = []
        for row in lines:
            if row[named] is None or row["caption"] is None or None in row:
                raise UserError(
                    f"{path}, line {lines.line_num}: its columns are not those of the header. Mend the line."
                )
            pairs.append((row[named], row["caption"]))
        return pairs
    except csv.Error as error:
        raise UserError(f"{path}, line {lines.line_num}: {error}. Mend the line.") from error


def merge_predictions(parts: Iterable[Mapping[ImageId, str]]) -> dict[ImageId, str]:
    """The predictions of several processes as one, each image once.

    A sampler gives some images to two processes, so that all have the same number; such an image keeps its first
    caption.
    """
    merged: dict[ImageId, str] = {}
    for part in parts:
        for image, caption in part.items():
            merged.setdefault(image, caption)
    return merged


def common_images(
    references: Mapping[ImageId, Sequence[str]],
    predictions: Mapping[ImageId, str],
    *,
    names: tuple[str, str] = ("references", "predictions"),
    allow_missing: bool = False,
) -> list[ImageId]:
    """The images of both, in the order of the references.

    Raises UserError naming the first image of one side only and their number, unless `allow_missing`; and always where
    there is no image in common.
    """
    common = [image for image in references if image in predictions]
    if not common:
        first = next(iter(predictions), None)
        raise UserError(f"{names[0]} and {names[1]} have no image in common; {names[1]} starts with {first!r}.")
    unpredicted = [image for image in references if image not in predictions]
    unknown = [image for image in predictions if image not in references]
    for side, other, missing in ((names[0], names[1], unpredicted), (names[1], names[0], unknown)):
        if missing and not allow_missing:
            count = f"{len(missing):,} images of {side} are" if len(missing) > 1 else f"1 image of {side} is"
            raise UserError(
                f"{count} not in {other}, the first is {missing[0]}. Score only the common ones with --allow-missing."
            )
    return common
