"""The page about an evaluation shows the extremes of every metric, and counts what it says it counts."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import saved_model, tiny_bundle

from captioning import cli
from captioning.metrics.scores import Scores
from captioning.models.bundle import save_bundle
from captioning.reports.caption_statistics import caption_statistics
from captioning.reports.evaluation_page import SHOWN, best_and_worst, ranking

WORLD = "data=scenes data.train=30 data.val=40 data.test=5 data.unseen=4 data.size=64".split()


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """The folder of an evaluation with its page."""
    folder = tmp_path_factory.mktemp("evaluated")
    return evaluation(folder, saved_model(folder / "model"))


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> Path:
    """That of a model that says how sure it is, of pictures in which an animal is, or is not."""
    folder = tmp_path_factory.mktemp("calibrated")
    bundle = tiny_bundle()
    bundle.task.confidence = {"slope": 0.2, "offset": 0.5}
    return evaluation(folder, save_bundle(folder / "model", bundle, card="#"))


def evaluation(folder: Path, model: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAPTIONING_CACHE", str(folder / "cache"))
        arguments = [f"model={model}", f"output={folder / 'out'}", "report=true", "metrics=[bleu,rouge,cider]", *WORLD]
        patch.setattr(sys, "argv", ["captioning", "evaluate", *arguments])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert not stop.value.code
    return folder / "out"


def test_the_page_holds_every_extreme_with_its_references_and_needs_nothing_else(evaluated):
    html = (evaluated / "report.html").read_text(encoding="utf-8")
    items = re.findall(r'<div class="item" data-cider="([\d.]+)" data-rougel="([\d.]+)"', html)
    assert SHOWN <= len(items) <= 40 and html.count('class="references"') == len(items)
    assert html.count("data:image/jpeg") >= len(items)
    assert 'class="words"' in html, "a model that attends shows where it looked"
    for name in ("CIDEr", "ROUGE-L", "BLEU-4", "distinct words", "novel captions", "copied word for word"):
        assert name in html
    assert not re.search(r"https?://|src=\"(?!data:)", html)


def test_of_a_model_that_is_sure_the_page_shows_how_right_it_is(evaluated, calibrated):
    html = (calibrated / "report.html").read_text(encoding="utf-8")
    section = html.split("How sure, and how right")[1].split("</section>")[0]
    rows = re.findall(r"<tr><td>(\d+)%</td><td>(\d+)%</td><td>(\d+)</td></tr>", section)
    assert sum(int(count) for *_, count in rows) == 40 and "<svg" in section
    assert [int(sure) for sure, *_ in rows] == sorted(int(sure) for sure, *_ in rows)
    assert "How sure" not in (evaluated / "report.html").read_text(encoding="utf-8")
    same = [json.loads((folder / "predictions.json").read_text()) for folder in (evaluated, calibrated)]
    assert same[0] == same[1]


def test_what_the_page_says_is_what_was_scored(evaluated):
    html = (evaluated / "report.html").read_text(encoding="utf-8")
    predictions = json.loads((evaluated / "predictions.json").read_text())
    said = {str(one["image_id"]): one["caption"] for one in predictions}
    shown = re.findall(r"<h3>(\d+)</h3>.*?<dt>model</dt><dd>([^<]*)</dd>", html)
    assert shown and all(said[key] == text for key, text in shown)
    about = json.loads((evaluated / "metrics.json").read_text())
    assert Path(about["model"]) == evaluated.parent / "model" and f"what {about['model']} says" in html
    assert about["task"]["generation"]["_target_"].startswith("captioning.generation.")
    cider = about["scores"]["CIDEr"]
    assert f"<td>{100 * cider:.1f}</td>" in html or f"<td>{100 * cider:.3f}</td>" in html


def test_the_best_and_the_worst_by_every_metric_are_chosen_once():
    values = np.arange(100.0)
    scores = Scores(tuple(range(100)), {}, {"CIDEr": values, "BLEU-4": -values, "BLEU-2": values}, {})
    assert ranking(scores) == ["CIDEr", "BLEU-4"]
    chosen = best_and_worst(scores)
    assert len(chosen) == len(set(chosen))
    assert set(chosen) == {*range(SHOWN), *range(100 - SHOWN, 100)}


def test_statistics_count_words_as_the_metrics_see_them():
    found = caption_statistics(["A dog runs.", "a dog runs", "Two cats!", ""], ["A DOG RUNS", "a bird"])
    assert (found.captions, found.mean_length, found.distinct_words) == (4, 2.0, 5)
    assert found.lengths == {0: 1, 2: 1, 3: 2} and found.repeated == [("a dog runs", 2)]
    assert (found.distinct_captions, found.copied, found.novel) == (0.75, 0.5, 0.5)
    assert caption_statistics(["a"]).novel is None and caption_statistics([]).mean_length == 0
