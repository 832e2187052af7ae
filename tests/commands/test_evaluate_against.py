"""`captioning evaluate ... against=`: two models on the same split, what they differ by, and both on one page."""

import json

import pytest
from tiny_grounding import grounding_bundle
from tiny_model import saved_model

from captioning.commands import hydra
from captioning.commands.evaluate_against import short_names
from captioning.models.bundle import save_bundle


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for head in ("grid", "regions"):
        save_bundle(root / head / "model", grounding_bundle(head), card="# tiny")
    return root


def evaluate(*words):
    return hydra.run("evaluate", ["data=scene_phrases", "data.val=5", "data.size=64", "store=null", *map(str, words)])


def test_two_models_are_told_apart_phrase_by_phrase_and_shown_on_one_page(models, tmp_path, capsys):
    ours, theirs = models / "grid" / "model", models / "regions" / "model"
    assert evaluate(f"model={ours}", f"against={theirs}", "report=true", f"output={tmp_path}/both") == 0
    told = json.loads((tmp_path / "both" / "metrics.json").read_text())
    apart = told["against"]["differences"]["acc@0.5"]
    assert apart["value"] == pytest.approx(told["scores"]["acc@0.5"] - told["against"]["scores"]["acc@0.5"])
    assert apart["low"] <= apart["value"] <= apart["high"] and "paired bootstrap" in capsys.readouterr().out
    page = (tmp_path / "both" / "report.html").read_text()
    assert all(text in page for text in ("of grid", "of regions", "Who is right", "Both are wrong"))
    assert evaluate(f"model={ours}", f"against={ours}", f"output={tmp_path}/same") == 0
    same = json.loads((tmp_path / "same" / "metrics.json").read_text())["against"]["differences"]
    assert all((one["value"], one["low"], one["high"]) == (0, 0, 0) for one in same.values())


def test_a_model_of_another_kind_is_named(models, tmp_path, capsys):
    writer = saved_model(tmp_path / "writer")
    assert evaluate(f"model={models}/grid/model", f"against={writer}", f"output={tmp_path}/out") == 2
    assert "compare two of a kind" in capsys.readouterr().err
    assert evaluate(f"model={writer}", f"against={writer}", "report=true", f"output={tmp_path}/out") == 2
    assert "one model" in capsys.readouterr().err


def test_a_captioner_locates_by_where_it_looks(models, tmp_path, capsys):
    writer = saved_model(tmp_path / "writer")
    assert evaluate(f"model={writer}", "attention=true", "report=true", f"output={tmp_path}/out") == 0
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert 0 <= told["scores"]["pointing"] <= 1 and told["attention"] and (tmp_path / "out" / "report.html").is_file()
    assert evaluate(f"model={models}/grid/model", "attention=true", f"output={tmp_path}/out") == 2
    assert "write captions" in capsys.readouterr().err


def test_models_are_called_by_what_tells_their_places_apart():
    assert short_names("runs/grid/model", "runs/regions/model") == ("grid", "regions")
    assert short_names("flickr8k_grounding", "/runs/regions/model") == ("flickr8k_grounding", "regions")
    assert short_names("a/b", "a/b") == ("a/b", "a/b")
