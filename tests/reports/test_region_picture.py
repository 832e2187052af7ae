"""What is drawn lies in the picture, hides no other label, and is brightest where most was looked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from captioning.reports.attention_map import FRAMES, attention_strip
from captioning.reports.region_picture import class_colour, corners, region_picture, tag

PHOTO = Image.new("RGB", (120, 80), (90, 110, 90))
BOXES = np.array([[0.1, 0.1, 0.5, 0.9], [0.4, 0.3, 0.9, 0.8], [0, 0, 1, 1]])


def count(picture: Image.Image, colour) -> int:
    return int((np.asarray(picture) == np.array(colour)).all(-1).sum())


def test_each_name_has_a_colour_and_the_doubtful_no_label():
    labels, scores = ["cat", "dog", "cat"], np.array([0.9, 0.8, 0.05])
    sure = region_picture(PHOTO, BOXES, labels, scores, width=480)
    assert sure.size == (480, 320)
    assert count(sure, class_colour(0)) > 1000 and count(sure, class_colour(1)) > 1000
    doubtful = region_picture(PHOTO, BOXES, labels, scores, width=480, credible=0.85)
    assert count(doubtful, class_colour(1)) == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=25), st.tuples(st.integers(30, 300), st.integers(30, 300)))
def test_no_label_hides_another_or_leaves_the_picture(boxes, size):
    draw, taken = ImageDraw.Draw(Image.new("RGB", size)), []
    for box in boxes:
        taken += tag(draw, "a name", corners(np.array(box), size), (255, 0, 0), size, 11, taken)
    for i, (x1, y1, x2, y2) in enumerate(taken):
        assert 0 <= x1 < x2 <= size[0] and 0 <= y1 < y2 <= size[1]
        assert all(x2 <= a or c <= x1 or y2 <= b or d <= y1 for a, b, c, d in taken[:i])


@pytest.mark.parametrize("boxes", [[[0.9, 0.9, 0.1, 0.1]], [[np.nan, -3, np.inf, 2]], [[0.5, 0.5, 0.5, 0.5]], []])
def test_odd_boxes_are_drawn_as_far_as_they_lie_in_the_picture(boxes):
    assert region_picture(PHOTO, np.array(boxes), ["cat"] * len(boxes), width=100).size == (100, 67)


def test_numbers_must_match():
    with pytest.raises(ValueError, match="3 boxes, but 2 labels"):
        region_picture(PHOTO, BOXES, ["cat", "dog"])
    with pytest.raises(ValueError, match="2 labels, but 3 boxes"):
        attention_strip(PHOTO, ["a"], np.ones((1, 3)), BOXES, ["cat", "dog"])
    with pytest.raises(ValueError, match="4 labels, but 0 boxes"):
        attention_strip(PHOTO, ["a"], np.ones((1, 4)), labels=["cat"] * 4)


def test_the_region_looked_at_most_is_framed_in_the_brightest_colour():
    """Each panel frames another region, where the region is."""
    weights = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    strip = attention_strip(PHOTO, ["one", "two"], weights, BOXES, ["cat", "dog", "whole image"], panel=240)
    bright = (np.asarray(strip) == FRAMES[-1]).all(-1)
    for panel, (x1, y1, x2, y2) in enumerate(BOXES[:2]):
        rows, columns = bright[8 : 8 + 160, 8 + panel * 248 : 8 + panel * 248 + 240].nonzero()
        assert abs(columns.min() - x1 * 240) <= 2 and abs(columns.max() - x2 * 240) <= 2
        assert abs(rows.max() - y2 * 160) <= 2 and rows.min() <= y1 * 160 + 2


def test_without_any_weight_nothing_is_framed():
    strip = attention_strip(PHOTO, ["one"], np.full((1, 3), np.nan), BOXES, ["cat", "dog", "ball"], panel=120)
    assert not any(count(strip, colour) for colour in FRAMES)
