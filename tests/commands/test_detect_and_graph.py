"""`captioning detect` and `captioning graph`: one line a thing; each failure named, the others done."""

import json
import subprocess
import sys

import pytest
from onnx_detector import saved
from PIL import Image
from tiny_answers import answering_bundle
from tiny_graphs import Detection, SceneGraphs, thing_bundle
from tiny_model import pictures
from typer.testing import CliRunner

from captioning.cli import app
from captioning.encoders.detectors.bare import BareDetector
from captioning.encoders.detectors.yolox import Yolox
from captioning.models.bundle import save_bundle


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, kind in (("graphs", SceneGraphs), ("detection", Detection)):
        save_bundle(folder / name, thing_bundle(kind), card="# tiny")
    return folder


@pytest.fixture
def photos(tmp_path):
    for name, picture in zip("ab", pictures(2), strict=True):
        picture.resize((120, 60)).save(tmp_path / f"{name}.png")
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.parametrize("name", ["graphs", "detection"])
def test_every_model_that_finds_things_detects(models, photos, name):
    found = run("detect", photos / "a.png", "--model", models / name, "--least", 0, "--json")
    told = json.loads(found.stdout)
    assert found.exit_code == 0 and told["file"] == str(photos / "a.png")
    scores = [one["score"] for one in told["objects"]]
    assert scores and scores == sorted(scores, reverse=True)
    for one in told["objects"]:
        x1, y1, x2, y2 = one["box"]
        assert 0 <= x1 <= x2 <= 120 and 0 <= y1 <= y2 <= 60
    plain = run("detect", photos / "a.png", "--model", models / name, "--least", 0).stdout.splitlines()
    assert len(plain) == len(scores) and plain[0].startswith(told["objects"][0]["label"])


def test_labels_and_salience_choose_what_is_shown(models, photos):
    asked = ("detect", photos, "--model", models / "detection", "--least", 0, "--json")
    whole = [json.loads(line) for line in run(*asked).stdout.splitlines()]
    cats = [json.loads(line) for line in run(*asked, "--labels", "cat").stdout.splitlines()]
    assert [[o for o in one["objects"] if o["label"] == "cat"] for one in whole] == [one["objects"] for one in cats]
    best = [json.loads(line)["objects"] for line in run(*asked, "--salient").stdout.splitlines()]
    assert [len(one) for one in best] == [1, 1]
    none = run("detect", photos / "a.png", "--model", models / "detection", "--labels", "unicorn")
    assert none.stdout == "nothing\n"


def test_a_detector_that_is_a_file_has_the_same_face(photos, tmp_path):
    file = saved(tmp_path / "tiny.onnx")
    bare = BareDetector(Yolox(file=file, class_names=["a", "b", "c"]), device="cpu")
    boxes = bare.detect(photos / "a.png", least=0.0)
    assert boxes and [box.score for box in boxes] == sorted((box.score for box in boxes), reverse=True)
    assert {box.label for box in boxes} <= {"a", "b", "c"}
    sure = boxes[0].score
    assert all(box.score >= sure for box in bare.detect(photos / "a.png", least=sure))


def test_a_graph_is_text_json_or_dot_and_drawn(models, photos):
    asked = ("graph", photos / "a.png", "--model", models / "graphs", "--least", 0, "--most", 2)
    told = json.loads(run(*asked, "--json").stdout)
    assert len(told["relations"]) == 2 and {"subject", "predicate", "object", "score"} == told["relations"][0].keys()
    plain = run(*asked).stdout.splitlines()
    assert len(plain) == len(told["objects"]) + 2
    dot = run(*asked, "--format", "dot").stdout
    assert dot.startswith("digraph scene {") and dot.count("->") == 2
    assert run(*asked, "--output", photos / "drawn.png").exit_code == 0
    wide, high = Image.open(photos / "drawn.png").size
    assert wide == 960 and high > 480


def test_a_broken_photo_does_not_stop_the_others(models, photos):
    (photos / "broken.jpg").write_text("no picture")
    for verb, model in (("detect", "detection"), ("graph", "graphs")):
        files = [photos / name for name in ("a.png", "broken.jpg", "b.png")]
        found = run(verb, *files, "--model", models / model, "--json", "--output", photos / verb)
        assert found.exit_code == 1 and len(found.stdout.splitlines()) == 2 and "broken.jpg" in found.stderr
        assert sorted(path.name for path in (photos / verb).iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["detect", "a.png", "--model", "x", "--detector", "y.onnx"], "give one of them"),
        (["detect", "a.png", "--detector", "missing.onnx"], "missing.onnx"),
        (["detect", "a.png", "--detector", "a.png", "--labels", ","], "--labels names nothing"),
        (["graph", "a.png"], "no model of graphs is shipped"),
        (["graph", "a.png", "--model", "nowhere"], "nowhere"),
        (["graph", "a.png", "--format", "xml"], "--format xml"),
    ],
)
def test_wrong_input_is_one_sentence_and_status_2(photos, monkeypatch, words, said):
    monkeypatch.chdir(photos)
    found = run(*words)
    assert found.exit_code == 2 and said in found.stderr and len(found.stderr.splitlines()) == 1


def test_a_model_of_another_kind_is_named(photos, tmp_path):
    other = save_bundle(tmp_path / "other", answering_bundle("up_down"), card="")
    found = run("graph", photos / "a.png", "--model", other)
    assert found.exit_code == 2 and "writes no graphs" in found.stderr
    found = run("detect", photos / "a.png", "--model", other)
    assert found.exit_code == 2 and "has no detector in it" in found.stderr


@pytest.mark.parametrize("verb", ["detect", "graph"])
def test_help_is_printed_without_torch(verb):
    code = (
        "import sys; from typer.testing import CliRunner; from captioning.cli import app;"
        f"r = CliRunner().invoke(app, ['{verb}', '--help']); assert r.exit_code == 0;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
