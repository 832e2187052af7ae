"""Retrieval counts what a plain loop counts, whatever the order and the blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioning.errors import UserError
from captioning.metrics import retrieval
from captioning.metrics.bootstrap import bootstrap
from captioning.metrics.retrieval import in_folds, ranks, recall_per_image, recall_table, resamplable


def vectors(seed: int, count: int, width: int = 6) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def plain_ranks(similar: np.ndarray, owner: np.ndarray) -> tuple[list[int], list[int]]:
    """By sorting every row and every column of (I, T); without ties."""
    by_image = [
        min(place for place, text in enumerate(np.argsort(-row), 1) if owner[text] == i)
        for i, row in enumerate(similar)
    ]
    by_text = [int(np.where(np.argsort(-similar[:, t]) == owner[t])[0][0]) + 1 for t in range(similar.shape[1])]
    return by_image, by_text


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 4), st.integers(1, 5))
def test_ranks_are_those_of_a_plain_sort_whatever_the_block(seed, images, texts, block):
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.r_[np.arange(images), rng.integers(images, size=texts * images)])
    pictures, words = vectors(seed, images), vectors(seed + 1, len(owner))
    before, retrieval.BLOCK = retrieval.BLOCK, block
    try:
        found = ranks(pictures, words, owner)
    finally:
        retrieval.BLOCK = before
    by_image, by_text = plain_ranks(pictures @ words.T, owner)
    # an image's own texts are no rivals of each other
    rivals = [1 + sum((row > row[owner == i].max()) & (owner != i)) for i, row in enumerate(pictures @ words.T)]
    assert found.image_to_text.tolist() == rivals == by_image
    assert found.text_to_image.tolist() == by_text


def test_vectors_that_are_all_alike_find_nothing():
    same = np.ones((20, 4), np.float32) / 2
    table = recall_table(ranks(same, np.repeat(same, 5, 0), np.repeat(np.arange(20), 5)))
    assert table["i2t R@10"] == table["t2i R@10"] == 0
    assert table["t2i median rank"] == 20 and table["i2t median rank"] == 96


def test_vectors_of_their_own_find_everything():
    table = recall_table(ranks(np.eye(30), np.repeat(np.eye(30), 5, 0), np.repeat(np.arange(30), 5)))
    assert table["i2t R@1"] == table["t2i R@1"] == table["t2i mean rank"] == table["i2t median rank"] == 1


def test_the_order_of_images_and_of_texts_does_not_matter():
    pictures, words, owner = vectors(0, 40), vectors(1, 200), np.repeat(np.arange(40), 5)
    rng = np.random.default_rng(2)
    moved, shuffled = rng.permutation(40), rng.permutation(200)
    there = np.argsort(moved)
    found, again = ranks(pictures, words, owner), ranks(pictures[moved], words[shuffled], there[owner[shuffled]])
    assert (again.image_to_text == found.image_to_text[moved]).all()
    assert (again.text_to_image == found.text_to_image[shuffled]).all()


def test_resampling_every_image_once_gives_the_table():
    owner = np.r_[np.arange(25), np.random.default_rng(3).integers(25, size=50)]
    found = ranks(vectors(4, 25), vectors(5, 75), owner)
    table = recall_table(found)
    for name, metric in resamplable(found).items():
        assert bootstrap(metric, np.ones((1, 25)))[0] == pytest.approx(table[name])
    assert recall_per_image(found)["i2t R@5"].mean() == pytest.approx(table["i2t R@5"])


def test_a_fold_is_the_table_of_its_images_and_folds_are_averaged():
    pictures, words, owner = vectors(6, 25), vectors(7, 75), np.repeat(np.arange(25), 3)
    first = recall_table(ranks(pictures[:10], words[:30], owner[:30]))
    second = recall_table(ranks(pictures[10:20], words[30:60], owner[30:60] - 10))
    folds = in_folds(pictures, words, owner, size=10)
    assert all(folds[name] == pytest.approx((first[name] + second[name]) / 2) for name in first)
    assert in_folds(pictures, words, owner, size=25) == recall_table(ranks(pictures, words, owner))


@pytest.mark.parametrize(
    "owner, spoiled, message",
    [
        ([0, 1, 1], False, "no text"),
        ([0, 1, 3], False, "belong to"),
        ([0, 1, 2], True, "finite"),
        ([0], False, "every text"),
    ],
)
def test_what_cannot_be_ranked_is_refused_by_name(owner, spoiled, message):
    words = vectors(0, 3)
    words[0] = np.nan if spoiled else words[0]
    with pytest.raises(UserError, match=message):
        ranks(vectors(1, 3), words, owner)
