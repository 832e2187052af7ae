"""A probe is scikit-learn's logistic regression, and separates what a line separates."""

import numpy as np
import pytest

from captioning.errors import UserError
from captioning.metrics.classification import accuracy_table
from captioning.tasks.embedding.linear_probe import linear_probe


def blobs(per_class: int, spread: float, seed: int, classes: int = 5, width: int = 12):
    centres = np.random.default_rng(1).normal(size=(classes, width))
    labels = np.repeat(np.arange(classes), per_class)
    noise = np.random.default_rng(seed).normal(size=(len(labels), width))
    return (centres[labels] + spread * noise) * np.arange(1, width + 1), labels


def test_at_one_strength_it_is_the_one_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = blobs(20, 0.8, 2)
    ours = linear_probe(x, y, strengths=[0.5])
    standard = (x - x.mean(0)) / x.std(0)
    theirs = linear_model.LogisticRegression(C=0.5, tol=1e-6, max_iter=1000).fit(standard, y)
    np.testing.assert_allclose(ours.weight.numpy(), theirs.coef_, atol=5e-3)
    assert (ours.scores(x).argmax(1) == theirs.predict(standard)).mean() > 0.98


def test_it_separates_what_can_be_separated_and_validation_chooses_the_strength():
    probe = linear_probe(*blobs(30, 0.3, 3))
    x, y = blobs(40, 0.3, 4)
    assert accuracy_table(probe.scores(x), y)["mean per class"] > 0.97
    noisy = linear_probe(*blobs(6, 3.0, 5))
    assert noisy.strength < 100  # the noise is not to be learned


def test_the_order_of_the_photos_does_not_matter_at_one_strength():
    x, y = blobs(10, 0.8, 6)
    order = np.random.default_rng(0).permutation(len(y))
    one, other = linear_probe(x, y, strengths=[1.0]), linear_probe(x[order], y[order], strengths=[1.0])
    np.testing.assert_allclose(one.weight, other.weight, atol=2e-3)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 2, 0], [-1, 0, 1], [0, 1]])
def test_labels_that_make_no_sense_are_refused(labels):
    with pytest.raises(UserError, match="linear probe"):
        linear_probe(np.random.default_rng(0).normal(size=(3, 4)), np.array(labels))


def test_features_that_are_no_numbers_are_refused():
    with pytest.raises(UserError, match="finite"):
        linear_probe(np.full((4, 2), np.nan), np.array([0, 1, 0, 1]))
