"""Captions are judged by where their words point: what people say and draw is wholly right, whatever it is called."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image
from tiny_grounding import examples, grounding_bundle
from tiny_model import saved_model

from captioning.data.source import Source
from captioning.errors import UserError
from captioning.metrics.scores import Scores
from captioning.tasks.grounding.judging import add_grounding_scores, load_locator
from captioning.tasks.grounding.locator import Locator
from captioning.tasks.load import load

NAMES = ("the red dog", "a blue cat", "a tree", "both animals")


def named():
    """The tiny pictures, with things in them that have names."""
    made = []
    for e in examples():
        phrases = tuple(replace(p, text=text) for p, text in zip(e.phrases, NAMES, strict=False))
        made.append(replace(e, phrases=phrases))
    return made


CAPTIONS = {e.id: " and ".join(p.text for p in e.phrases if p.boxes) for e in named()}


class Pictures(Source):
    name = "pictures"

    def examples(self, split):
        return named()

    def image(self, example):
        return Image.effect_noise((64, 64), 10 + example.id).convert("RGB")


class Drawn(Locator):
    """Finds every phrase of a picture in the boxes that people drew for it."""

    def predict_split(self, source, split, **options):
        own = {e.id: {p.text: [list(box) for box in p.boxes] for p in e.phrases} for e in named()}
        asked = source.examples(split)
        return asked, {e.id: [{"boxes": own[e.id][p.text]} for p in e.phrases] for e in asked}


def judged(locator, captions=CAPTIONS, source=None, pictures=None, **options):
    scores = Scores(tuple(captions), {}, {})
    add_grounding_scores(scores, locator, source or Pictures(), "val", captions, pictures or named(), **options)
    return scores.corpus


def test_captions_of_what_people_drew_in_its_boxes_are_wholly_right():
    corpus = judged(Drawn(grounding_bundle(), device="cpu"))
    assert corpus["F1_all"] == corpus["F1_loc"] == corpus["named rightly and in place"] == 1.0
    some = judged(Drawn(grounding_bundle(), device="cpu"), {**CAPTIONS, 0: "it is running", 1: ""})
    assert some["grounding precision"] == 1.0 and some["F1_loc"] == 1.0 and some["grounding recall"] < 1.0


def test_a_locator_is_asked_for_the_phrases_of_the_captions_alone(tmp_path):
    found = judged(Locator(grounding_bundle(), device="cpu"), store=None)
    assert set(found) == {"F1_all", "F1_loc", "grounding precision", "grounding recall", "named rightly and in place"}
    assert all(0 <= value <= 1 for value in found.values())


def test_what_cannot_be_judged_is_named(tmp_path):
    bare = [replace(e, phrases=()) for e in named()]
    with pytest.raises(UserError, match="flickr30k_entities"):
        judged(Drawn(grounding_bundle(), device="cpu"), pictures=bare)
    with pytest.raises(UserError, match="write captions"):
        load_locator("attention", Locator(grounding_bundle(), device="cpu"))
    torch.manual_seed(0)
    writer = load(saved_model(tmp_path / "writer"), device="cpu")
    with pytest.raises(UserError, match="does not locate"):
        load_locator(str(tmp_path / "writer"), writer)
    assert isinstance(load_locator("attention", writer), Locator)
