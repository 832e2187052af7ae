"""Scores of boxes are those of a plain reimplementation, on random phrases and at their bounds."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioning.errors import UserError
from captioning.metrics.box_scores import (
    Place,
    Truth,
    calibration_error,
    overlap,
    ranking,
    rejected,
    score_places,
)

HALF = (0.0, 0.0, 0.5, 1.0)


def plain_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = width * height
    either = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / either if either else 0.0


def some_box(dice):
    x1, y1 = dice.random() * 0.7, dice.random() * 0.7
    return (x1, y1, x1 + 0.05 + dice.random() * 0.25, y1 + 0.05 + dice.random() * 0.25)


@given(st.integers(0, 2**32))
def test_scores_are_those_of_a_plain_reimplementation(seed):
    dice = random.Random(seed)
    truth, places = {}, {}
    for key in range(dice.randint(1, 12)):
        boxes = tuple(some_box(dice) for _ in range(dice.choice([1, 1, 2, 3])))
        kind = dice.choice(["people", "other"])
        found = boxes[0] if dice.random() < 0.4 else some_box(dice)
        truth[key] = Truth(boxes, kind)
        places[key] = Place(found, (dice.random(), dice.random()), dice.random())
    scores = score_places(truth, places, metrics=("boxes", "overlap"), kinds=True)
    ious, points = {}, {}
    for key, one in truth.items():
        around = [f(side) for f, side in zip((min, min, max, max), zip(*one.boxes, strict=True), strict=True)]
        ious[key] = plain_iou(places[key].box, around)
        x, y = places[key].point
        points[key] = any(a <= x <= c and b <= y <= d for a, b, c, d in one.boxes)
    assert scores.corpus["mean IoU"] == pytest.approx(np.mean([*ious.values()]))
    assert scores.corpus["acc@0.5"] == pytest.approx(np.mean([iou >= 0.5 for iou in ious.values()]))
    assert scores.corpus["pointing"] == pytest.approx(np.mean([*points.values()]))
    for kind in {one.kind for one in truth.values()}:
        mine = [ious[key] >= 0.5 for key, one in truth.items() if one.kind == kind]
        assert scores.corpus[f"acc@0.5 ({kind})"] == pytest.approx(np.mean(mine))
    best = score_places(truth, places, metrics=("overlap",), several="any").corpus["mean IoU"]
    wanted = [max(plain_iou(places[key].box, box) for box in one.boxes) for key, one in truth.items()]
    assert best == pytest.approx(np.mean(wanted))


def test_an_overlap_of_exactly_one_half_is_right_and_an_edge_is_pointed_at():
    assert overlap(HALF, [(0.0, 0.0, 1.0, 1.0)]) == 0.5
    truth = {1: Truth(((0.0, 0.0, 1.0, 1.0),)), 2: Truth((HALF,))}
    places = {1: Place(HALF, (1.0, 1.0)), 2: Place((0.5, 0.0, 1.0, 1.0), (0.5001, 0.5))}
    scores = score_places(truth, places)
    assert scores.per_image["acc@0.5"].tolist() == [1.0, 0.0]
    assert scores.per_image["pointing"].tolist() == [1.0, 0.0]


def test_what_is_not_there_counts_in_its_ranking_alone():
    truth = {1: Truth((HALF,)), 2: Truth(()), 3: Truth(())}
    places = {key: Place(HALF, (0.1, 0.1), there=there) for key, there in ((1, 0.6), (2, 0.6), (3, 0.1))}
    scores = score_places(truth, places)
    assert scores.images == (1,) and scores.corpus["acc@0.5"] == 1.0
    assert scores.corpus["absent AUC"] == 0.75  # one tie, one below


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.lists(st.integers(0, 9), min_size=1, max_size=9),
    st.sampled_from([0.03, 0.1, 0.5]),
)
def test_the_rejected_share_is_the_largest_that_any_limit_gives_at_so_small_a_loss(there, absent, loss):
    best = max(
        np.mean([a < limit for a in absent]) for limit in range(11) if np.mean([t < limit for t in there]) <= loss
    )
    assert rejected(np.array(there, float), np.array(absent, float), loss) == pytest.approx(best)


def test_absence_is_told_by_kind_as_well():
    truth = {1: Truth((HALF,), "a"), 2: Truth((), "a"), 3: Truth((HALF,), "b"), 4: Truth((), "b"), 5: Truth((), "c")}
    believed = {1: 0.9, 2: 0.1, 3: 0.2, 4: 0.8, 5: 0.5}
    places = {key: Place(HALF, (0.1, 0.1), there=there) for key, there in believed.items()}
    corpus = score_places(truth, places, metrics=("boxes", "absence"), kinds=True).corpus
    assert (corpus["absent AUC (a)"], corpus["absent AUC (b)"]) == (1.0, 0.0) and "absent AUC (c)" not in corpus
    assert corpus["rejected at 3% loss"] == pytest.approx(1 / 3)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.lists(st.integers(0, 5), min_size=1, max_size=9))
def test_ranking_is_the_share_of_pairs_in_order(high, low):
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low]
    assert ranking(np.array(high, float), np.array(low, float)) == pytest.approx(np.mean(pairs))


def test_confidence_that_is_true_has_no_calibration_error_and_one_that_boasts_has_all_of_it():
    assert calibration_error(np.array([0.5] * 4), np.array([True, False] * 2)) == 0.0
    assert calibration_error(np.array([1.0] * 4), np.array([True, False] * 2)) == 0.5
    truth = {1: Truth((HALF,)), 2: Truth((HALF,))}
    places = {1: Place(HALF, (0, 0), 0.5), 2: Place((0.6, 0.6, 0.9, 0.9), (0, 0), 0.5)}
    assert score_places(truth, places, metrics=("calibration",)).corpus["calibration error"] == 0.0


@pytest.mark.parametrize(
    ("truth", "metrics", "words"),
    [
        ({1: Truth((HALF,))}, ("bleu",), "no metric 'bleu' of boxes"),
        ({1: Truth((HALF,))}, (), "no metric is named"),
        ({1: Truth(())}, ("boxes",), "no phrases whose boxes are known"),
        ({1: Truth((HALF,)), 2: Truth((HALF,))}, ("boxes",), "1 of 2 phrases have no box, the first is 2"),
    ],
)
def test_what_cannot_be_scored_is_named(truth, metrics, words):
    with pytest.raises(UserError, match=words):
        score_places(truth, {1: Place(HALF, (0.1, 0.1))}, metrics=metrics)
