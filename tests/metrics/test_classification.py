"""Accuracies and CLIPScores are those of a plain loop; what is all alike is right nowhere."""

import numpy as np
import pytest

from captioning.errors import UserError
from captioning.metrics.classification import accuracy_table, class_ranks
from captioning.metrics.clip_score import clip_scores, ref_clip_scores


def test_accuracies_are_those_of_a_plain_sort():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=(200, 12)), np.r_[np.zeros(90, int), rng.integers(1, 9, 110)]
    order = np.argsort(-scores, 1)
    table = accuracy_table(scores, labels)
    assert table["top-1"] == pytest.approx(np.mean(order[:, 0] == labels))
    assert table["top-5"] == pytest.approx(
        np.mean([label in row[:5] for label, row in zip(labels, order, strict=True)])
    )
    by_class = [np.mean(order[labels == c, 0] == c) for c in range(12) if (labels == c).any()]
    assert table["mean per class"] == pytest.approx(np.mean(by_class))


def test_scores_that_are_all_alike_are_right_nowhere():
    assert accuracy_table(np.zeros((4, 6)), np.arange(4)) == {"top-1": 0, "top-5": 0, "mean per class": 0}
    assert class_ranks(np.zeros((4, 6)), np.arange(4)).tolist() == [6] * 4


@pytest.mark.parametrize("labels", [[0, 3], [0], [-1, 0]])
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(UserError, match="classification"):
        accuracy_table(np.zeros((2, 3)), np.array(labels))


def test_clip_scores_are_those_of_the_paper():
    unit = lambda *x: np.array(x) / np.linalg.norm(x)  # noqa: E731
    images, captions = np.stack([unit(1, 0), unit(1, 0)]), np.stack([unit(3, 4), unit(-1, 1)])
    assert clip_scores(images, captions) == pytest.approx([2.5 * 0.6, 0])
    references = [np.stack([unit(0, 1), unit(1, 0)]), np.stack([unit(0, 1)])]
    # the harmonic mean of 1.5 and 0.8; with nothing in common with the image it is nothing
    assert ref_clip_scores(images, captions, references) == pytest.approx([2 * 1.5 * 0.8 / 2.3, 0])
