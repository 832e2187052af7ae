"""The things of examples as numbers and back: labels, true boxes padded, and boxes out of slots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import torch

from captioning.boxes import Box
from captioning.errors import UserError
from captioning.example import Example
from captioning.heads.detection import Detected, Things, best_slots

MOST_NAMES = 100_000
LEAST = 0.001  # probability below which a box is not worth a line in a file


def true_things(examples: Sequence[Example], numbers: Mapping[str, int]) -> Things:
    """The boxes of B examples with the numbers of their labels, -1 for one that is not among `numbers`."""
    most = max((len(example.boxes) for example in examples), default=0)
    boxes, labels = torch.zeros(len(examples), most, 4), torch.full((len(examples), most), -1)
    real = torch.zeros(len(examples), most, dtype=torch.bool)
    for b, example in enumerate(examples):
        count = len(example.boxes)
        if count:
            boxes[b, :count] = torch.tensor(example.boxes)
            labels[b, :count] = torch.tensor([numbers.get(label, -1) for label in example.labels])
            real[b, :count] = True
    return Things(boxes, labels, real)


def true_boxes(example: Example) -> list[Box]:
    """The things of an example as boxes with their names."""
    return [Box(*corners, label) for corners, label in zip(example.boxes, example.labels, strict=True)]


def boxes_of(found: Detected, names: Sequence[str], *, least: float = LEAST) -> list[list[Box]]:
    """The boxes of each of B images, likeliest first."""
    made = []
    for b in range(len(found.logits)):
        likely = found.logits[b].softmax(-1)
        slots = best_slots(found, b, least=least).tolist()
        made.append([Box(*found.boxes[b, q].tolist(), names[c], float(likely[q, c])) for q, c in slots])
    return made


def names_to_json(**lists: Sequence[str]) -> str:
    """Lists of names, one a line."""
    return json.dumps({key: list(names) for key, names in lists.items()}, indent=1, ensure_ascii=False) + "\n"


def names_from_json(text: str, where: str, *keys: str) -> tuple[tuple[str, ...], ...]:
    """The lists of names that a model's file has under `keys`. Raises UserError for what is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError(f"{where} is not valid JSON: copy the model again") from None
    found = []
    for key in keys:
        names = content.get(key) if isinstance(content, dict) else None
        good = isinstance(names, list) and 1 <= len(names) <= MOST_NAMES and all(type(name) is str for name in names)
        if not good or len(set(names)) != len(names):
            raise UserError(f"{where} has no list of different names as {key}: copy the model again")
        found.append(tuple(names))
    return tuple(found)
