"""F1 of grounded captions is that of its definition, name by name."""

from __future__ import annotations

import pytest

from captioning.metrics.grounded_captions import score_grounded

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def test_everything_named_in_its_place_is_one_and_nothing_named_is_zero():
    truth = {1: [("dog", [LEFT]), ("man", [RIGHT])], 2: [("dog", [RIGHT])]}
    assert score_grounded(truth, truth)["F1_all"] == score_grounded(truth, truth)["F1_loc"] == 1.0
    assert set(score_grounded(truth, {}).values()) == {0.0}


def test_a_name_alone_counts_for_neither_and_a_place_alone_for_nothing():
    truth = {1: [("dog", [LEFT])]}
    misplaced = score_grounded(truth, {1: [("dog", [RIGHT])]})
    assert misplaced["F1_all"] == misplaced["F1_loc"] == 0.0
    misnamed = score_grounded(truth, {1: [("cat", [LEFT])]})
    assert misnamed["F1_all"] == 0.0 and misnamed["precision"] == 0.0


def test_names_weigh_alike_and_only_those_in_common_are_localised():
    truth = {1: [("dog", [LEFT]), ("man", [RIGHT])], 2: [("dog", [LEFT])], 3: [("dog", [LEFT])]}
    found = {1: [("dog", [LEFT]), ("hat", [LEFT])], 2: [("dog", [RIGHT])], 3: []}
    scores = score_grounded(truth, found)
    precision = (1 / 2 + 0) / 2  # dog once of twice, hat never
    recall = (1 / 3 + 0) / 2  # dog once of three times, man never
    assert scores["precision"] == pytest.approx(precision) and scores["recall"] == pytest.approx(recall)
    assert scores["F1_all"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert scores["F1_loc"] == pytest.approx(0.5)  # dog: once of the two pictures that both name it in
    assert scores["named rightly and in place"] == pytest.approx(0.5)


def test_an_overlap_of_one_half_is_enough_with_any_of_several_boxes():
    half = (0.0, 0.0, 0.5, 0.5)
    assert score_grounded({1: [("dog", [LEFT])]}, {1: [("dog", [RIGHT, half])]})["F1_all"] == 1.0
    less = (0.0, 0.0, 0.5, 0.49)
    assert score_grounded({1: [("dog", [LEFT])]}, {1: [("dog", [less])]})["F1_all"] == 0.0
