"""`captioning locate`: one line a phrase, boxes in pixels of the photo; each failure named, the others done."""

import json
import subprocess
import sys

import pytest
from PIL import Image
from tiny_answers import answering_bundle
from tiny_grounding import grounding_bundle
from tiny_model import pictures, saved_model
from typer.testing import CliRunner

from captioning.cli import app
from captioning.models.bundle import save_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_bundle(tmp_path_factory.mktemp("grounding") / "model", grounding_bundle(), card="# tiny")


@pytest.fixture
def photos(tmp_path):
    for name, picture in zip("ab", pictures(2), strict=True):
        picture.resize((120, 60)).save(tmp_path / f"{name}.png")
    return tmp_path


def locate(*words, model):
    return CliRunner().invoke(app, ["locate", *map(str, words), "--model", str(model)])


def test_one_photo_and_phrase_give_the_box_alone(model, photos):
    found = locate(photos / "a.png", "the red one", "--least", 0, model=model)
    assert found.exit_code == 0 and "\t" not in found.stdout
    *boxes, score = found.stdout.strip().split("  ")
    assert boxes and 0 <= float(score) <= 1
    for box in boxes:
        x1, y1, x2, y2 = map(float, box.split(","))
        assert 0 <= x1 <= x2 <= 120 and 0 <= y1 <= y2 <= 60


def test_every_phrase_is_looked_for_in_every_photo_in_order(model, photos):
    found = locate(photos, "the red one", "a blue thing", "--json", model=model)
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    asked = ["the red one", "a blue thing"]
    assert [(one["file"], one["phrase"]) for one in lines] == [
        (str(photos / f"{name}.png"), phrase) for name in "ab" for phrase in asked
    ]
    assert all(len(one["best"]) == 4 and 0 <= one["score"] <= one["there"] <= 1 for one in lines)


def test_what_is_less_likely_than_least_is_not_there(model, photos):
    found = locate(photos / "a.png", "the red one", "--least", 1, model=model)
    assert found.exit_code == 0 and found.stdout.startswith("not there  ")
    told = json.loads(locate(photos / "a.png", "the red one", "--least", 1, "--json", model=model).stdout)
    assert told["boxes"] == [] and len(told["best"]) == 4


def test_boxes_are_drawn_into_a_picture_or_a_folder_of_them(model, photos):
    assert locate(photos / "a.png", "red", "--least", 0, "--output", photos / "found.png", model=model).exit_code == 0
    assert Image.open(photos / "found.png").size == (960, 480)
    out = photos / "out"
    assert locate(photos / "a.png", photos / "b.png", "red", "--output", out, model=model).exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png"]
    both = locate(photos / "a.png", photos / "b.png", "red", "--output", photos / "one.jpg", model=model)
    assert both.exit_code == 2 and "name a folder" in both.stderr and not (photos / "one.jpg").exists()


def test_a_broken_photo_does_not_stop_the_others(model, photos):
    (photos / "broken.jpg").write_text("no picture")
    found = locate(photos / "a.png", photos / "broken.jpg", photos / "b.png", "red", model=model)
    assert found.exit_code == 1
    assert len(found.stdout.splitlines()) == 2 and "broken.jpg" in found.stderr


def test_phrases_come_from_a_file_as_well(model, photos):
    (photos / "phrases.txt").write_text("the red one\n\na blue thing\n")
    found = locate(photos / "a.png", "green", "--phrases", photos / "phrases.txt", model=model)
    assert [line.split("\t")[1] for line in found.stdout.splitlines()] == ["green", "the red one", "a blue thing"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["the red one"], "no photo is named"),
        (["a.png"], "no phrase is given"),
        (["a.png", "..."], "has no word in it"),
        (["a.png", "red", "--phrases", "nothing.txt"], "nothing.txt does not exist"),
    ],
)
def test_wrong_input_is_one_sentence_and_status_2(model, photos, monkeypatch, words, said):
    monkeypatch.chdir(photos)
    found = locate(*words, model=model)
    assert found.exit_code == 2 and said in found.stderr and len(found.stderr.splitlines()) == 1


def test_a_caption_is_written_and_its_phrases_located(model, photos, tmp_path):
    writer = saved_model(tmp_path / "writer")
    found = locate(photos / "a.png", "--caption", "--captioner", writer, "--json", model=model)
    assert found.exit_code == 0, found.stderr
    told = json.loads(found.stdout)
    words = told["caption"].split()
    assert told["phrases"] and all(
        phrase["phrase"] == " ".join(words[slice(*phrase["words"])]) for phrase in told["phrases"]
    )
    plain = locate(photos / "a.png", "--caption", "--captioner", writer, model=model).stdout.splitlines()
    assert plain[0] == f"{photos / 'a.png'}\t{told['caption']}" and len(plain) == 1 + len(told["phrases"])
    wrong = locate(photos / "a.png", "--caption", "--captioner", model, model=model)
    assert wrong.exit_code == 2 and "does not write captions" in wrong.stderr


def test_a_model_of_another_kind_is_named(photos, tmp_path):
    other = save_bundle(tmp_path / "other", answering_bundle("up_down"), card="")
    found = locate(photos / "a.png", "red", model=other)
    assert found.exit_code == 2 and "does not locate phrases" in found.stderr


def test_help_is_printed_without_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from captioning.cli import app;"
        "r = CliRunner().invoke(app, ['locate', '--help']); assert r.exit_code == 0;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
