"""What a stranger's bundle may say: numbers of a measure, texts without control characters, no endless nesting."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from captioning.errors import UserError
from captioning.files.terminal import harmless, has_controls

MOST = 1_000_000  # of a whole number that has no measure of its own
MEASURES = {  # what costs memory or time that no weight pays for
    "size": 4096, "frames": 512, "longest": 10_000, "regions": 1000, "most_regions": 1000, "most_nouns": 1000,
    "neighbours": 10_000, "grid": 256, "layers": 1000, "encoder_layers": 1000, "refining_layers": 1000,
    "beam_size": 100, "num_captions": 100, "num_samples": 100, "groups": 100, "max_words": 1000, "min_words": 1000,
    "block_ngrams": 1000, "seed": 2**64,
}  # fmt: skip
LONGEST_TEXT = 10_000  # characters
DEEPEST = 32
LONGEST_LIST = 100_000


def check_measures(value: Any, where: str = "", name: str = "", depth: int = 0) -> None:
    """Raises UserError naming the first value of a configuration that no model needs."""
    if depth > DEEPEST:
        raise UserError(f"{where} is nested more than {DEEPEST} deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise UserError(f"{where or 'it'} has the key {harmless(str(key)[:40])}, which is no text")
            _check_text(key, f"a key of {where or 'it'}")
            check_measures(inner, f"{where}.{key}" if where else key, key, depth + 1)
    elif isinstance(value, list):
        if len(value) > LONGEST_LIST:
            raise UserError(f"{where} has {len(value):,} entries, more than {LONGEST_LIST:,}")
        for number, inner in enumerate(value):
            check_measures(inner, f"{where}[{number}]", name, depth + 1)
    elif isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise UserError(f"{where} is {value}, which is no number")
    elif isinstance(value, int) and not -MOST <= value <= MEASURES.get(name, MOST):
        said = f"{value:,}" if abs(value) < 10**18 else "a number of more than 18 digits"
        raise UserError(f"{where} is {said}, more than {MEASURES.get(name, MOST):,}: no model needs that")


def _check_text(text: str, where: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise UserError(f"{where} has {len(text):,} characters, more than {LONGEST_TEXT:,}")
    if has_controls(text):
        raise UserError(f"{where} holds a control character: {harmless(text[:60])!r}")


def check_texts(text: str, where: str) -> None:
    """Raises UserError where a JSON file of a bundle is none, or any text in it holds a control character."""
    try:
        document = json.loads(text)
        found = next((one for one in _texts(document) if has_controls(one) or len(one) > LONGEST_TEXT), None)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is damaged, copy the folder again: {error}") from None
    if found is not None:
        what = "a text without end" if len(found) > LONGEST_TEXT else "a control character"
        raise UserError(f"{where} holds {what}: {harmless(found[:60])!r}")


def _texts(document: Any) -> Iterator[str]:
    """Every text in a document, at any depth."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value
            waiting += value.values()
