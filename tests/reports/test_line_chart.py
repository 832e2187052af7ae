import math
import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioning.reports.line_chart import HEIGHT, WIDTH, charts, line_chart, ticks

values = st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-9)


@given(values, values, st.booleans())
def test_ticks_enclose_the_values_in_a_few_even_steps(a, b, whole):
    low, high = sorted((a, b))
    marks = ticks(low, high, whole=whole)
    step = marks[1] - marks[0]
    assert 2 <= len(marks) <= 8
    assert marks[0] <= low + step * 1e-6 and marks[-1] >= high - step * 1e-6
    assert all(math.isclose(n - m, step, rel_tol=1e-6) for m, n in zip(marks, marks[1:], strict=False))


@given(st.lists(st.tuples(st.integers(0, 500), values), min_size=1, max_size=30))
def test_every_point_lies_inside_the_chart(points):
    chart = ElementTree.fromstring(line_chart("Loss", {"train": points}))
    dots = list(chart.iter("circle"))
    assert len(dots) == len(points)
    for dot in dots:
        assert 0 <= float(dot.get("cx")) <= WIDTH and 0 <= float(dot.get("cy")) <= HEIGHT


def test_a_higher_value_is_drawn_higher_and_a_later_epoch_further_right():
    dots = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', line_chart("CIDEr", {"val": [(0, 1.0), (1, 5.0), (2, 3.0)]}))
    xs, ys = zip(*(map(float, dot) for dot in dots), strict=True)
    assert xs[0] < xs[1] < xs[2] and ys[1] < ys[2] < ys[0]


@pytest.mark.parametrize("hole", [math.nan, math.inf])
def test_what_is_not_finite_is_left_out(hole):
    assert line_chart("Loss", {"train": [(0, hole)]}) == ""
    assert line_chart("Loss", {"train": [(0, 2.0), (1, hole), (2, 1.0)]}).count("<circle") == 2


def test_a_split_has_one_colour_in_all_charts():
    loss, cider = charts({"train/loss": [(0, 1)], "val/loss": [(0, 2)], "val/CIDEr": [(0, 3)]})
    assert set(re.findall(r"--line-\d", cider)) == {"--line-2"}
    assert set(re.findall(r"--line-\d", loss)) == {"--line-1", "--line-2"}
