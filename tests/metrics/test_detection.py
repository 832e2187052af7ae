"""Average precision is that of its definition: the best boxes take things first, precision never rises with recall."""

import random

import numpy as np
import pytest

from captioning.boxes import Box, box_ious
from captioning.errors import UserError
from captioning.metrics.detection import average_precision

NAMES = ("cat", "dog")


def boxes(dice, count, scored):
    made = []
    for _ in range(count):
        x, y = dice.random() * 0.6, dice.random() * 0.6
        score = dice.choice((0.2, 0.5, 0.5, 0.9)) + dice.random() * 0.01 if scored else 1.0
        made.append(Box(x, y, x + 0.1 + 0.3 * dice.random(), y + 0.1 + 0.3 * dice.random(), dice.choice(NAMES), score))
    return made


def near(dice, box):
    x1, y1, x2, y2 = (corner + dice.uniform(-0.04, 0.04) for corner in box.corners)
    return Box(x1, y1, x2, y2, box.label, dice.random())


def plainly(truth, found, name, threshold):
    """COCO's 101-point precision of one class, (101,)."""
    rows, total = [], 0
    for key, those in truth.items():
        wanted = [box for box in those if box.label == name]
        total += len(wanted)
        free = set(range(len(wanted)))
        for one in sorted((b for b in found[key] if b.label == name), key=lambda b: -b.score)[:100]:
            ious = box_ious([one.corners], [b.corners for b in wanted])[0] if wanted else []
            good = [(ious[i], i) for i in free if ious[i] >= threshold]
            if good:
                free.remove(max(good)[1])
            rows.append((one.score, bool(good)))
    rows.sort(key=lambda row: -row[0])
    hits = np.cumsum([hit for _, hit in rows])
    recall, precision = hits / total, hits / np.arange(1, len(rows) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1] if len(rows) else precision
    return np.array(
        [precision[i] if (i := np.searchsorted(recall, r)) < len(rows) else 0.0 for r in np.linspace(0, 1, 101)]
    )


@pytest.mark.parametrize("seed", range(8))
def test_equal_to_a_plain_reimplementation_on_random_boxes(seed):
    dice = random.Random(seed)
    truth = {i: boxes(dice, dice.randint(0, 6), False) for i in range(12)}
    truth[12] = [Box(0, 0, 0.5, 0.5, "cat"), Box(0.5, 0.5, 1, 1, "dog")]
    found = {
        i: [near(dice, box) for box in those for _ in range(dice.randint(0, 2))] + boxes(dice, dice.randint(0, 4), True)
        for i, those in truth.items()
    }
    measured = average_precision(truth, found)
    assert measured.classes == NAMES
    for c, name in enumerate(NAMES):
        assert measured.ap50[c] == pytest.approx(plainly(truth, found, name, 0.5).mean(), abs=1e-6)
        assert measured.ap75[c] == pytest.approx(plainly(truth, found, name, 0.75).mean(), abs=1e-6)
        steps = [plainly(truth, found, name, t).mean() for t in np.arange(0.5, 0.96, 0.05)]
        assert measured.ap[c] == pytest.approx(np.mean(steps), abs=1e-6)
    assert (np.diff(measured.curves, axis=1) <= 1e-12).all()


def test_the_truth_is_perfect_and_nothing_is_worth_nothing():
    truth = {"a": boxes(random.Random(1), 5, False), "b": []}
    assert average_precision(truth, truth).corpus() == pytest.approx({"AP": 1, "AP50": 1, "AP75": 1, "AR@100": 1})
    assert set(average_precision(truth, {"a": [], "b": []}).corpus().values()) == {0.0}


def test_a_thing_found_twice_is_wrong_once():
    truth = {0: [Box(0, 0, 0.5, 0.5, "cat"), Box(0.5, 0.5, 1, 1, "cat")]}
    twice = [Box(0, 0, 0.5, 0.5, "cat", 0.9), Box(0, 0, 0.5, 0.5, "cat", 0.8), Box(0.5, 0.5, 1, 1, "cat", 0.7)]
    assert average_precision(truth, {0: twice}).ap50[0] == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_labels_that_no_truth_has_change_nothing():
    truth = {0: [Box(0, 0, 0.5, 0.5, "cat")]}
    other = [Box(0, 0, 0.5, 0.5, "cat", 0.5), Box(0, 0, 0.5, 0.5, "unicorn", 0.9)]
    assert average_precision(truth, {0: other}).corpus()["AP"] == pytest.approx(1.0)


def test_pycocotools_prints_nothing(capsys):
    truth = {0: [Box(0, 0, 0.5, 0.5, "cat")]}
    average_precision(truth, truth)
    assert capsys.readouterr().out == ""


def test_what_cannot_be_scored_is_said():
    with pytest.raises(UserError, match="no boxes"):
        average_precision({0: []}, {0: []})
    with pytest.raises(UserError, match="1 of 1 pictures have no result, the first is 0"):
        average_precision({0: [Box(0, 0, 1, 1, "cat")]}, {})
