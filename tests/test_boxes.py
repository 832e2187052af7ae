"""A box means the same place in every layout, and IoU is that of torchvision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_convert, box_iou

from captioning.boxes import Box, as_corners, box_areas, box_ious, union_box
from captioning.errors import UserError
from captioning.heads.boxes import BoxRegression, box_losses

FIRST, EXTENT = st.integers(0, 31), st.integers(1, 32)
CORNERS = st.tuples(FIRST, FIRST, EXTENT, EXTENT).map(lambda c: (c[0], c[1], c[0] + c[2], c[1] + c[3]))


@given(CORNERS)
def test_every_layout_means_the_same_place(corners):
    x1, y1, x2, y2 = corners
    wanted = (x1 / 128, y1 / 64, x2 / 128, y2 / 64)
    same = torch.tensor([corners], dtype=torch.float64)
    layouts = {name: box_convert(same, "xyxy", name)[0].tolist() for name in ("xyxy", "xywh", "cxcywh")}
    layouts["yyxx"] = [y1, y2, x1, x2]
    for name, values in layouts.items():
        assert as_corners(values, name, (128, 64), "here") == pytest.approx(wanted)
    assert Box(*wanted).pixels(128, 64) == pytest.approx(corners)


@given(st.lists(CORNERS, min_size=1, max_size=5), st.lists(CORNERS, min_size=1, max_size=5))
def test_iou_is_that_of_torchvision(ones, others):
    ours = box_ious(np.array(ones) / 64, np.array(others) / 64)
    theirs = box_iou(torch.tensor(ones).double() / 64, torch.tensor(others).double() / 64)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-12)
    np.testing.assert_allclose(ours, box_ious(others, ones).T, atol=1e-12)


def test_a_box_without_extent_has_no_overlap_with_itself():
    assert box_ious([[0.5, 0.5, 0.5, 0.9]], [[0.5, 0.5, 0.5, 0.9]]).tolist() == [[0.0]]
    assert box_areas([[0.9, 0.1, 0.2, 0.5]]).tolist() == [0.0]


@given(st.lists(CORNERS, min_size=1, max_size=5))
def test_a_union_holds_every_box_and_no_smaller_one_does(boxes):
    x1, y1, x2, y2 = union_box(boxes)
    assert all(x1 <= b[0] and y1 <= b[1] and b[2] <= x2 and b[3] <= y2 for b in boxes)
    assert {x1, y1, x2, y2} <= {number for box in boxes for number in box}


@pytest.mark.parametrize(
    ("values", "layout", "size", "words"),
    [
        ([1, 2, 3], "xyxy", (10, 10), "four numbers"),
        ([1, 2, 3, float("nan")], "xyxy", (10, 10), "four numbers"),
        ([1, 2, "3", 4], "xyxy", (10, 10), "four numbers"),
        ([20, 20, 30, 30], "xyxy", (10, 10), "lies in the picture"),
        ([1, 1, 0, 5], "xywh", (10, 10), "lies in the picture"),
        ([1, 1, 2, 2], "xxyy", (10, 10), "not 'xxyy'"),
        ([1, 1, 2, 2], "xyxy", (0, 10), "no size"),
    ],
)
def test_what_is_no_box_is_named_with_its_place(values, layout, size, words):
    with pytest.raises(UserError, match=f"^a.json, box 3.*{words}"):
        as_corners(values, layout, size, "a.json, box 3")


def test_a_box_that_reaches_out_of_the_picture_is_clipped():
    assert as_corners([-5, 2, 20, 8], "xyxy", (10, 10), "here") == (0.0, 0.2, 1.0, 0.8)


def test_losses_vanish_where_boxes_are_equal_and_only_there():
    boxes = torch.tensor([[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.0, 1.0]])
    l1, giou = box_losses(boxes, boxes)
    torch.testing.assert_close(l1, torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(giou, torch.zeros(2), atol=1e-5, rtol=0)
    l1, giou = box_losses(boxes, boxes.flip(0))
    assert (l1 > 0.1).all() and (giou > 0.1).all()


def test_regression_starts_from_the_box_it_is_given():
    torch.manual_seed(0)
    head = BoxRegression(8)
    torch.nn.init.zeros_(head.layers[-1].weight)
    torch.nn.init.zeros_(head.layers[-1].bias)
    around = torch.tensor([[0.2, 0.3, 0.6, 0.9]])
    torch.testing.assert_close(head(torch.randn(1, 8), around), around)
    inside = BoxRegression(8)(torch.randn(100, 8) * 30)
    assert (inside >= 0).all() and (inside <= 1).all() and (inside[:, 2:] >= inside[:, :2]).all()
