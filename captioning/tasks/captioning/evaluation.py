"""The page about the captions of a split: the best and the worst, looked at once more."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.atomic import write_whole
from captioning.metrics.chair import objects_there
from captioning.metrics.scores import Scores
from captioning.reports.caption_card import THUMBNAIL
from captioning.reports.caption_statistics import caption_statistics, flattened
from captioning.reports.evaluation_page import best_and_worst, page
from captioning.reports.page import Panel
from captioning.runtime.prefetch import chunks_of
from captioning.tasks.captioning.caption import Caption
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.captioning.confidence import is_right, reliability
from captioning.text.tokenizer import tokenize

log = logging.getLogger("captioning")


BATCH = 16


def looked_at(
    captioner: Captioner,
    source: Source,
    examples: Iterable[Example],
    hypotheses: Mapping[int | str, str],
    generation: Callable,
) -> dict[int | str, Panel]:
    """The cards of the page by picture. A picture that cannot be read, or is none, is a grey one."""
    panels = {}
    for chunk in chunks_of(examples, BATCH):
        pictures = {example.id: picture_of(source, example) for example in chunk}
        read = {key: captioner.read(picture) for key, picture in pictures.items() if picture is not None}
        seen = {key: found for key, found in read.items() if not isinstance(found, UserError)}  # imported features
        found = captioner._describe(list(seen.values()), generation, True) if seen else []
        again = {key: captions[0] for key, captions in zip(seen, found, strict=True)}
        for example in chunk:
            text = hypotheses[example.id]
            panels[example.id] = panel(example, text, pictures[example.id], again.get(example.id))
    return panels


def picture_of(source: Source, example: Example) -> Image.Image | None:
    try:
        return source.image(example)
    except UserError:
        return None


def panel(example: Example, text: str, picture: Image.Image | None, again: Caption | None) -> Panel:
    picture = picture.copy() if picture is not None else Image.new("RGB", (THUMBNAIL, THUMBNAIL // 2), "grey")
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    attended = again is not None and again.text == text and again.attention is not None
    words, attention, boxes = (again.words, again.attention, again.boxes) if attended else ((), None, None)
    return Panel(
        picture, {"model": text or "(nothing)"}, example.captions, words, attention, boxes=boxes, name=str(example.id)
    )


def write_gallery(
    path: Path,
    captioner: Captioner,
    examples: Sequence[Example],
    source: Source,
    hypotheses: Mapping[int | str, str],
    scores: Scores,
    *,
    title: str,
    confidence: Mapping[int | str, float] | None = None,
) -> Path:
    """Writes the page about the captions of some examples and returns its path. Raises UserError where it cannot.

    With the `confidence` of each caption it shows how many of those as sure are right.

    The pictures shown are captioned once more, for the attention; what differs from what was scored is shown without.
    """
    chosen = set(best_and_worst(scores))
    references = {example.id: list(example.captions) for example in examples}
    try:
        trained_on = source.examples("train")
    except UserError:
        trained_on = []
    training = [text for example in trained_on for text in example.captions] or None
    ours = caption_statistics(hypotheses.values(), training)
    same = {example.id for example in trained_on} >= references.keys()
    theirs = caption_statistics(flattened(references), None if same else training)
    shown = [example for example in examples if example.id in chosen]
    cards = looked_at(captioner, source, shown, hypotheses, captioner.strategy({}))
    bins = reliability_of(examples, hypotheses, confidence) if confidence else None
    return write_whole(path, page(title, scores, cards, {"model": ours, "people": theirs}, reliability=bins))


def reliability_of(
    examples: Sequence[Example], hypotheses: Mapping[int | str, str], confidence: Mapping[int | str, float]
) -> NDArray[np.float64]:
    """Of as many captions in each bin, the least sure first: mean confidence, share right, number. (bins, 3)"""
    there = [objects_there([tokenize(text) for text in e.captions], e.labels) for e in examples]
    right = [is_right(tokenize(hypotheses[e.id]), those) for e, those in zip(examples, there, strict=True)]
    return reliability([confidence[e.id] for e in examples], right)
