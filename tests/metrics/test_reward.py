"""The rewards are the plain formulas, for any batch, from any worker."""

import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from plain_cider import EOS, PlainCider, cut, sampled

from captioning.metrics.bleu import bleu
from captioning.metrics.ngrams import corpus_of
from captioning.metrics.reference_index import ReferenceIndex
from captioning.metrics.reward import BleuReward, CiderReward, RougeReward, WeightedReward
from captioning.metrics.rouge import rouge_l


def invented_references(seed, images=40, words=30):
    """Image id -> 1 to 7 captions of 1 to 12 words, some of them very common."""
    generator = np.random.default_rng(seed)

    def caption():
        return (4 + generator.zipf(1.3, generator.integers(1, 13)) % words).tolist()

    return {f"image{i}": [caption() for _ in range(generator.integers(1, 8))] for i in range(images)}


@pytest.fixture(params=range(3))
def batch(request):
    """References, image ids (B,), samples (B, R, T)."""
    references = invented_references(request.param)
    images = list(references)[5:25] + ["image5"]
    return references, images, sampled(references, images, 5, 16, request.param)


def test_cider_is_the_plain_formula(batch):
    references, images, samples = batch
    plain = PlainCider(references)
    expected = [[plain.score(image, cut(words)) for words in rows] for image, rows in zip(images, samples, strict=True)]
    np.testing.assert_allclose(CiderReward(references)(images, samples), expected, rtol=1e-9, atol=1e-9)


def test_without_the_end_cider_is_the_official_scorer(batch):
    """Over every pair of an image and a caption of it, with the references of these pairs as the corpus."""
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    references, images, samples = batch
    images = list(dict.fromkeys(images))  # each image once, so that both count documents alike
    official = CiderScorer(n=4, sigma=6.0)
    for image, rows in zip(images, samples, strict=False):
        official += (spelled(rows[0]), [spelled(one) for one in references[image]])
    _, expected = official.compute_score()
    reward = CiderReward(ReferenceIndex({image: references[image] for image in images}, end=False))
    np.testing.assert_allclose(reward(images, samples[: len(images), :1])[:, 0], expected, rtol=1e-9, atol=1e-9)


def spelled(ids):
    return " ".join(str(word) for word in ids if word > EOS)


def as_words(words):
    return [str(word) for word in words]


def corpus(batch):
    """Every sample with the references of its image, end token included, as a corpus."""
    references, images, samples = batch
    pairs = [(references[image], cut(words)) for image, rows in zip(images, samples, strict=True) for words in rows]
    return corpus_of([[as_words([*w, EOS]) for w in those] for those, _ in pairs], [as_words(w) for _, w in pairs])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_is_the_sentence_bleu(batch, order):
    references, images, samples = batch
    expected = bleu(corpus(batch))[1][:, order - 1].reshape(samples.shape[:2])
    np.testing.assert_allclose(BleuReward(references, order=order)(images, samples), expected, rtol=1e-9)


def test_rouge_is_the_sentence_rouge(batch):
    references, images, samples = batch
    expected = rouge_l(corpus(batch)).reshape(samples.shape[:2])
    np.testing.assert_allclose(RougeReward(references)(images, samples), expected, rtol=1e-9)


def test_a_mix_is_the_weighted_sum(batch):
    references, images, samples = batch
    index = ReferenceIndex(references)
    cider, bleu4 = CiderReward(index), BleuReward(index)
    mixed = WeightedReward((cider, 1.0), (bleu4, 0.5))(images, samples)
    np.testing.assert_allclose(mixed, cider(images, samples) + 0.5 * bleu4(images, samples))


def test_a_batch_scores_as_its_samples_do_alone(batch):
    references, images, samples = batch
    for reward in (CiderReward(references), BleuReward(references), RougeReward(references)):
        together = reward(images, samples)
        pairs = zip(images, samples, strict=True)
        alone = [[reward([image], row[None, None])[0, 0] for row in rows] for image, rows in pairs]
        np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_begin_end_and_padding_around_a_reference_change_nothing(batch):
    references, images, samples = batch
    dressed = {image: [[1, *words, EOS, 0, 0] for words in those] for image, those in references.items()}
    for kind in (CiderReward, BleuReward, RougeReward):
        np.testing.assert_array_equal(kind(dressed)(images, samples), kind(references)(images, samples))


def test_what_follows_the_end_of_a_sample_changes_nothing(batch):
    references, images, samples = batch
    noisy = samples.copy()
    ended = np.cumsum(samples == EOS, axis=2) - (samples == EOS) > 0
    noisy[ended] = 7
    for kind in (CiderReward, BleuReward, RougeReward):
        np.testing.assert_array_equal(kind(references)(images, noisy), kind(references)(images, samples))


def test_an_end_in_its_place_earns_more_cider_than_none():
    references = invented_references(0)
    words = references["image3"][0]
    ended, endless = CiderReward(references)(["image3", "image3"], [[[*words, EOS]], [[*words, 0]]])[:, 0]
    assert ended > endless


@pytest.mark.parametrize("kind", [CiderReward, BleuReward, RougeReward])
def test_an_empty_sample_scores_about_nothing(kind):
    references = invented_references(0)
    assert kind(references)(["image0"], np.zeros((1, 2, 5), int)) == pytest.approx(np.zeros((1, 2)), abs=1e-6)
    assert kind(references)(["image0"], np.zeros((1, 2, 0), int)).shape == (1, 2)


def test_threads_and_processes_score_alike():
    references = invented_references(1)
    images = list(references)[:8]
    batches = [sampled(references, images, 5, 16, seed) for seed in range(6)]
    index = ReferenceIndex(references)
    reward = WeightedReward((CiderReward(index), 1.0), (BleuReward(index), 0.5), (RougeReward(index), 0.5))
    expected = [reward(images, samples) for samples in batches]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reward))(images, batches[0]), expected[0])
    with ThreadPoolExecutor(3) as threads, ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        for workers in (threads, processes):
            np.testing.assert_array_equal(list(workers.map(reward, [images] * 6, batches)), expected)


def test_an_image_without_references_is_named():
    with pytest.raises(KeyError, match="elsewhere"):
        CiderReward(invented_references(0))(["elsewhere"], [[[5, EOS]]])


def test_an_image_must_have_a_reference():
    with pytest.raises(ValueError, match="at least one reference"):
        CiderReward({"image": []})
