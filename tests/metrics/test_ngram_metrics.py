"""BLEU, ROUGE-L and CIDEr are the official numbers, of the corpus and of every image."""

import contextlib
import io
import random

import numpy as np
import pytest
from invented_captions import PIECES

from captioning.metrics.bleu import bleu
from captioning.metrics.caption_scores import score_captions
from captioning.metrics.cider import cider
from captioning.metrics.ngrams import corpus_of
from captioning.metrics.rouge import lcs_lengths, rouge_l
from captioning.text.tokenizer import tokenize_all


def official_scores(references, hypotheses):
    """pycocoevalcap's (corpus, per image) of captions that are joined words, keyed like ours."""
    bleus = pytest.importorskip("pycocoevalcap.bleu.bleu").Bleu(4)
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge").Rouge()
    ciders = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
    expected = dict(enumerate(references)), {i: [hypothesis] for i, hypothesis in enumerate(hypotheses)}
    with contextlib.redirect_stdout(io.StringIO()):
        corpus, per_image = bleus.compute_score(*expected)
        scores = {f"BLEU-{order}": (corpus[order - 1], per_image[order - 1]) for order in range(1, 5)}
        return scores | {"ROUGE-L": rouge.compute_score(*expected), "CIDEr": ciders.compute_score(*expected)}


def our_scores(references, hypotheses):
    def words(line):
        return line.split(" ") if line else []

    corpus = corpus_of([[words(line) for line in those] for those in references], [words(line) for line in hypotheses])
    of_corpus, per_image = bleu(corpus)
    scores = {f"BLEU-{order}": (of_corpus[order - 1], per_image[:, order - 1]) for order in range(1, 5)}
    rouge, ciders = rouge_l(corpus), cider(corpus)
    return scores | {"ROUGE-L": (rouge.mean(), rouge), "CIDEr": (ciders.mean(), ciders)}


def assert_same(references, hypotheses):
    ours, official = our_scores(references, hypotheses), official_scores(references, hypotheses)
    for name, (corpus, per_image) in official.items():
        np.testing.assert_allclose(ours[name][0], corpus, rtol=1e-9, atol=1e-30, err_msg=name)
        np.testing.assert_allclose(ours[name][1], per_image, rtol=1e-9, atol=1e-14, err_msg=name)


def test_scores_of_coco_val2017_are_the_official_ones(coco_last_against_others):
    references, hypotheses = coco_last_against_others
    lines = iter(" ".join(words) for words in tokenize_all([c for those in references.values() for c in those]))
    grouped = [[next(lines) for _ in those] for those in references.values()]
    assert_same(grouped, [" ".join(words) for words in tokenize_all(list(hypotheses.values()))])


@pytest.mark.parametrize("seed", range(20))
def test_scores_of_invented_captions_are_the_official_ones(seed):
    chance = random.Random(seed)
    words = [*chance.sample([piece.strip() for piece in PIECES if piece.strip()], 12), "3\xa01/2", "a", "the"]

    def line(longest):
        return " ".join(" ".join(chance.choices(words, k=chance.randint(0, longest))).split(" "))

    images = chance.randint(1, 12)
    references = [[line(chance.choice([3, 12, 70])) for _ in range(chance.randint(1, 7))] for _ in range(images)]
    assert_same(references, [line(chance.choice([0, 3, 12, 70])) for _ in range(images)])


def test_one_image_alone_has_no_cider():
    assert our_scores([["a dog on a beach"]], ["a dog on a beach"])["CIDEr"][0] == 0


def test_the_reference_length_is_the_closest_and_the_shorter_of_two():
    # Of 2 and 4 words the shorter is the reference length, so a hypothesis of 3 words is not too short.
    assert our_scores([["a b", "a b c d"]], ["a b c"])["BLEU-1"][0] == pytest.approx(1, abs=1e-6)


def test_an_empty_caption_equals_only_an_empty_caption():
    assert our_scores([[""], ["a"]], ["", ""])["ROUGE-L"][1].tolist() == [1, 0]


def test_plain_cider_is_ten_for_the_only_reference_and_does_not_mind_the_length():
    sentences = ["a dog runs on the beach", "two cats sleep under a table", "three birds"]
    corpus = corpus_of([[line.split()] for line in sentences], [line.split() for line in sentences])
    assert cider(corpus, variant="")[:2] == pytest.approx([10, 10])
    longer = corpus_of([[line.split()] for line in sentences], [(line + " now" * 9).split() for line in sentences])
    assert (cider(longer, variant="") > cider(longer)).all()


def test_the_order_of_the_images_changes_no_score(coco_last_against_others):
    references, hypotheses = coco_last_against_others
    images = list(references)[:300]
    forward = score_captions({i: references[i] for i in images}, {i: hypotheses[i] for i in images})
    backward = score_captions({i: references[i] for i in reversed(images)}, {i: hypotheses[i] for i in images})
    assert backward.images == forward.images[::-1]
    for name, values in forward.per_image.items():
        np.testing.assert_allclose(backward.per_image[name], values[::-1], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_common_subsequences_are_as_long_as_the_table_says(seed):
    generator = np.random.default_rng(seed)
    first, second = generator.integers(0, 4, (30, 9)), generator.integers(0, 4, (30, 13))

    def table(one, other):
        best = np.zeros((len(one) + 1, len(other) + 1), int)
        for i, j in np.ndindex(len(one), len(other)):
            best[i + 1, j + 1] = best[i, j] + 1 if one[i] == other[j] else max(best[i, j + 1], best[i + 1, j])
        return best[-1, -1]

    assert lcs_lengths(first, second).tolist() == [table(*pair) for pair in zip(first, second, strict=True)]
