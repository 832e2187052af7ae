"""Confidence is the share that is right, and below what is asked for there is what is seen at least, or nothing."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.tasks.captioning.caption import Caption, believed
from captioning.tasks.captioning.confidence import confidence_of, fit_confidence, hedged, is_right, reliability
from captioning.text.concepts import concepts


def drawn(slope, offset, count=4000):
    dice = np.random.default_rng(3)
    scores = dice.normal(-1.0, 2.0, count)
    return scores, dice.random(count) < 1 / (1 + np.exp(-(slope * scores + offset)))


@pytest.mark.parametrize(("slope", "offset"), [(1.5, 0.5), (0.3, -1.0), (-0.8, 0.2), (0.0, 1.0)])
def test_the_curve_that_captions_were_drawn_from_is_found(slope, offset):
    curve = fit_confidence(*drawn(slope, offset))
    assert curve["slope"] == pytest.approx(slope, abs=0.12) and curve["offset"] == pytest.approx(offset, abs=0.2)


def test_confidence_is_the_share_that_is_right_in_every_bin():
    scores, right = drawn(1.5, 0.5)
    curve = fit_confidence(scores, right)
    found = reliability([confidence_of(score, curve) for score in scores], right)
    assert found.shape == (5, 3) and found[:, 2].sum() == len(scores)
    assert (np.diff(found[:, 0]) > 0).all()
    assert np.abs(found[:, 0] - found[:, 1]).max() < 0.05


def test_where_the_score_tells_all_the_curve_is_no_step():
    curve = fit_confidence([-1.0] * 5 + [1.0] * 5, [False] * 5 + [True] * 5)
    assert 0.7 < confidence_of(1.0, curve) < 0.95 and 0.05 < confidence_of(-1.0, curve) < 0.3


@pytest.mark.parametrize("right", [True, False])
def test_all_or_none_right_is_no_ground(right):
    with pytest.raises(UserError, match="some that are and some that are not"):
        fit_confidence([0.0, 1.0], [right, right])


def test_a_caption_that_there_is_not_is_not_right():
    curve = {"slope": 1.0, "offset": 99.0}
    assert confidence_of(-math.inf, curve) == 0
    assert 0 < confidence_of(-1e9, curve) < confidence_of(0.0, curve) <= 1


@pytest.mark.parametrize(
    ("words", "right"), [("a dog runs", True), ("a dog and a cat", False), ("grass", False), ("a puppy", True)]
)
def test_right_is_what_names_something_there_and_nothing_else(words, right):
    assert is_right(words.split(), {"dog", "frisbee"}) == right


SURE = Caption("A dog runs.", 0.5, ["a", "dog", "runs"], confidence=0.8, believed=(("elephant", 0.9), ("tie", 0.3)))


def test_a_caption_that_is_sure_enough_stays():
    assert hedged(SURE, 0.8) is SURE


def test_below_it_there_is_what_is_seen_or_nothing():
    assert hedged(SURE, 0.9).text == "Probably an elephant."
    assert hedged(replace(SURE, believed=(("hot dog", 0.6), ("cat", 0.55))), 0.9).words == "probably a hot dog".split()
    for seen in ((), (("tie", 0.3),)):
        assert hedged(replace(SURE, believed=seen), 0.9).text == ""


def test_what_is_largest_is_named_before_what_is_most_certain():
    tie, person = (list(concepts()).index(name) for name in ("tie", "person"))
    boxes = torch.tensor([[[0.4, 0.4, 0.5, 0.5], [0.1, 0.0, 0.9, 1.0], [0.0, 0.0, 1.0, 1.0]]])
    classes, scores = torch.tensor([[tie, person, -1]]), torch.tensor([[0.95, 0.8, 0.0]])
    memory = VisualMemory(
        torch.zeros(1, 3, 4), torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 4), boxes, None, classes, scores
    )
    seen = believed(memory, 0, list(concepts()))
    assert [name for name, _ in seen] == ["person", "tie"]
    assert dict(seen) == pytest.approx({"person": 0.8, "tie": 0.95})
    assert hedged(replace(SURE, believed=seen), 0.9).text == "Probably a person."
    unsure = replace(memory, scores=torch.tensor([[0.95, 0.4, 0.0]]))
    assert hedged(replace(SURE, believed=believed(unsure, 0, list(concepts()))), 0.9).text == "Probably a tie."


def test_a_model_that_was_never_calibrated_says_how_to():
    with pytest.raises(UserError, match="calibrate="):
        hedged(replace(SURE, confidence=None), 0.5)
