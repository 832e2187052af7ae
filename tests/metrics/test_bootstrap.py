"""Bootstrap intervals hold what they promise, and the paired test knows a difference from chance."""

import json
import tracemalloc

import numpy as np
import pytest
from test_score_command import CAPTIONS, HYPOTHESES, coco, results

from captioning.commands.score import score
from captioning.metrics import bootstrap as module
from captioning.metrics.bootstrap import bootstrap, interval, mean_of, paired_difference, resample_counts, resampled
from captioning.metrics.caption_scores import score_captions


def test_a_resample_draws_as_many_images_as_there_are():
    draws = resample_counts(50, 200, seed=1)
    assert draws.shape == (200, 50)
    assert (draws.sum(axis=1) == 50).all()


def test_every_image_once_is_the_corpus_score(coco_last_against_others):
    references, hypotheses = coco_last_against_others
    images = list(references)[:200]
    scores = score_captions({i: references[i] for i in images}, {i: hypotheses[i] for i in images})
    for name, metric in scores.resamplable.items():
        assert bootstrap(metric, np.ones((1, 200)))[0] == pytest.approx(scores.corpus[name], rel=1e-12)


def test_a_resample_of_bleu_is_the_bleu_of_the_images_drawn(coco_last_against_others):
    references, hypotheses = coco_last_against_others
    images = list(references)[:40]
    scores = score_captions({i: references[i] for i in images}, {i: hypotheses[i] for i in images})
    draws = resample_counts(40, 3, seed=2)
    for row, drawn in enumerate(draws.astype(int)):
        times = zip(images, drawn, strict=True)
        copies = [(f"{image} {copy}", image) for image, number in times for copy in range(number)]
        again = score_captions(
            {key: references[i] for key, i in copies}, {key: hypotheses[i] for key, i in copies}, ["bleu"]
        )
        for name, value in again.corpus.items():
            assert bootstrap(scores.resamplable[name], draws)[row] == pytest.approx(value, rel=1e-9)


def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    samples = generator.exponential(size=(300, 80))
    draws = [resample_counts(80, 300, seed) for seed in range(len(samples))]
    bounds = [interval(bootstrap(mean_of(values), drawn)) for values, drawn in zip(samples, draws, strict=True)]
    covered = np.mean([low <= 1 <= high for low, high in bounds])
    assert 0.88 <= covered <= 0.98


def test_the_paired_test_finds_a_small_steady_gain_that_intervals_hide():
    generator = np.random.default_rng(0)
    theirs = generator.normal(1, 0.5, 400)
    ours = theirs + generator.normal(0.02, 0.05, 400)
    draws = resample_counts(400, 1000, seed=0)
    better, worse = bootstrap(mean_of(ours), draws), bootstrap(mean_of(theirs), draws)
    difference = paired_difference(better, worse, float((ours - theirs).mean()))
    assert interval(better)[0] < interval(worse)[1], "the intervals overlap"
    assert difference.p_value < 0.01 and 0 < difference.low < difference.value < difference.high


def test_a_result_against_itself_is_no_difference():
    draws = bootstrap(mean_of(np.random.default_rng(0).random(30)), resample_counts(30, 100, seed=0))
    found = paired_difference(draws, draws, 0.0)
    assert (found.low, found.high, found.p_value) == (0, 0, 1)


def test_pure_chance_is_rarely_called_a_difference():
    generator = np.random.default_rng(0)
    found = []
    for seed in range(200):
        draws = resample_counts(60, 200, seed)
        ours, theirs = (bootstrap(mean_of(values), draws) for values in generator.normal(size=(2, 60)))
        found.append(paired_difference(ours, theirs, 0.0).p_value < 0.05)
    assert np.mean(found) < 0.12


def test_the_same_seed_writes_the_same_file_and_swapping_results_turns_the_sign(tmp_path):
    references = coco(CAPTIONS, tmp_path / "r.json")
    one = results(HYPOTHESES, tmp_path / "one.json")
    two = results({1: "a dog runs on the beach", 2: "two kittens", 3: "a bus"}, tmp_path / "two.json")

    def differences(path, against, name):
        score(references, [path], against=against, json_file=tmp_path / name)
        return (tmp_path / name).read_bytes(), json.loads((tmp_path / name).read_text())["results"][0]["differences"]

    (first, forward), (second, _), (_, backward) = (
        differences(one, two, "a"),
        differences(one, two, "a"),
        differences(two, one, "b"),
    )
    assert first == second
    for name, found in forward.items():
        assert backward[name]["value"] == pytest.approx(-found["value"])
        assert (backward[name]["low"], backward[name]["high"]) == pytest.approx((-found["high"], -found["low"]))
        assert backward[name]["p_value"] == found["p_value"]


def test_blocks_give_what_all_resamples_at_once_give(monkeypatch):
    metrics = {"a": mean_of(np.random.default_rng(0).random(50)), "b": mean_of(np.random.default_rng(1).random(50))}
    draws = resample_counts(50, 33, seed=4)
    monkeypatch.setattr(module, "BLOCK", 8 * 50 * 5)
    assert np.array_equal(resample_counts(50, 33, seed=4), draws)
    for name, values in resampled(metrics, 50, 33, seed=4).items():
        assert values == pytest.approx(bootstrap(metrics[name], draws), rel=1e-12)
    assert resampled({}, 50, 33, seed=4) == {}


def test_a_million_images_take_no_more_memory_than_a_block_and_a_few_rows():
    metric = mean_of(np.random.default_rng(0).random(1_000_000))
    tracemalloc.start()
    values = resampled({"mean": metric}, 1_000_000, 12, seed=0)["mean"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(values) == 12 and peak < 200e6
