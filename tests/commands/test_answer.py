"""`captioning answer` and `captioning score --task vqa`: one line an answer, each failure named, the others done."""

import json
import subprocess
import sys

import pytest
from tiny_answers import answering_bundle
from tiny_model import pictures
from typer.testing import CliRunner

from captioning.cli import app
from captioning.models.bundle import save_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_bundle(tmp_path_factory.mktemp("answers") / "model", answering_bundle("up_down"), card="# tiny")


@pytest.fixture
def photos(tmp_path):
    for name, picture in zip("ab", pictures(2), strict=True):
        picture.save(tmp_path / f"{name}.png")
    return tmp_path


def answer(*words, model=None):
    return CliRunner().invoke(app, ["answer", *map(str, words), *(["--model", str(model)] if model else [])])


def test_one_photo_and_question_give_the_answer_alone(model, photos):
    found = answer(photos / "a.png", "is it red?", model=model)
    assert found.exit_code == 0
    assert len(found.stdout.splitlines()) == 1 and "\t" not in found.stdout


def test_every_question_is_asked_of_every_photo_in_order(model, photos):
    found = answer(photos, "is it red?", "what colour is it?", "--json", "--top", 2, model=model)
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    asked = ["is it red?", "what colour is it?"]
    assert [(one["file"], one["question"]) for one in lines] == [
        (str(photos / f"{name}.png"), question) for name in "ab" for question in asked
    ]
    assert all(one["probability"] >= one["others"][0]["probability"] for one in lines)
    plain = answer(photos, "is it red?", "what colour is it?", model=model).stdout.splitlines()
    assert [line.split("\t")[2] for line in plain] == [one["answer"] for one in lines]


def test_a_broken_photo_does_not_stop_the_others(model, photos):
    (photos / "broken.jpg").write_text("no picture")
    found = answer(photos / "a.png", photos / "broken.jpg", photos / "b.png", "is it red?", model=model)
    assert found.exit_code == 1
    assert len(found.stdout.splitlines()) == 2 and "broken.jpg" in found.stderr


def test_questions_come_from_a_file_or_from_a_table_of_photos(model, photos):
    (photos / "asked.txt").write_text("is it red?\n\nwhat colour is it?\n")
    found = answer(photos / "a.png", "--questions", photos / "asked.txt", model=model)
    assert len(found.stdout.splitlines()) == 2
    (photos / "asked.csv").write_text("file,question\nb.png,is it red?\na.png,what colour is it?\n")
    found = answer("--questions", photos / "asked.csv", model=model)
    assert [line.split("\t")[:2] for line in found.stdout.splitlines()] == [
        [str(photos / "b.png"), "is it red?"],
        [str(photos / "a.png"), "what colour is it?"],
    ]


def test_where_was_looked_is_drawn_for_each_question(model, photos):
    found = answer(photos / "a.png", "is it red?", "is it?", "--attention", photos / "seen", model=model)
    assert found.exit_code == 0, found.stderr
    assert sorted(path.name for path in (photos / "seen").iterdir()) == ["a-2.png", "a.png"]


@pytest.mark.parametrize(
    "words, message",
    [
        (["is it red?"], "no photo is named"),
        (["a.png"], "no question is asked"),
        (["a.png", "???"], "is no question"),
        (["a.png", "x" * 20_000], "longer than"),
    ],
)
def test_what_is_missing_is_said_with_status_2(model, photos, words, message, monkeypatch):
    monkeypatch.chdir(photos)
    found = answer(*words, model=model)
    assert found.exit_code == 2 and message in found.stderr


def test_a_model_that_writes_captions_is_refused(photos):
    from tiny_model import saved_model

    found = answer(photos / "a.png", "is it red?", model=saved_model(photos / "captions"))
    assert found.exit_code == 2 and "does not answer questions" in found.stderr
    assert answer(photos / "a.png", "is it red?").exit_code == 2


def write(folder):
    questions = [{"image_id": 1, "question_id": q, "question": "what?"} for q in (11, 12)]
    said = {11: ["dog"] * 10, 12: ["two"] * 5 + ["2"] * 5}
    annotations = [
        {
            "image_id": 1,
            "question_id": q,
            "question_type": "what",
            "answer_type": kind,
            "answers": [{"answer": one, "answer_id": i} for i, one in enumerate(said[q])],
        }
        for q, kind in ((11, "other"), (12, "number"))
    ]
    (folder / "q.json").write_text(json.dumps({"questions": questions}))
    (folder / "a.json").write_text(json.dumps({"annotations": annotations}))
    for name, answers in (("right", {11: "a dog", 12: "2"}), ("wrong", {11: "cat", 12: "2"}), ("short", {11: "dog"})):
        (folder / f"{name}.json").write_text(json.dumps([{"question_id": q, "answer": a} for q, a in answers.items()]))


def score(folder, *words):
    files = [str(folder / f"{name}.json") for name in words if not name.startswith("-")]
    options = [word for word in words if word.startswith("-")]
    return CliRunner().invoke(app, ["score", "--task", "vqa", *files, *options])


def test_results_are_scored_overall_and_by_kind(tmp_path):
    write(tmp_path)
    out = tmp_path / "out.json"
    found = score(tmp_path, "q", "a", "right", "wrong", f"--json={out}", f"--against={tmp_path / 'wrong.json'}")
    assert found.exit_code == 0, found.stderr
    right, wrong = json.loads(out.read_text())["results"]
    # five people wrote "two", which the official program leaves alone, and five "2"
    assert right["scores"] == {"VQA": 1.0, "VQA (number)": 1.0, "VQA (other)": 1.0, "VQA (what)": 1.0}
    assert wrong["scores"]["VQA"] == 0.5 and wrong["scores"]["VQA (other)"] == 0.0
    assert right["differences"]["VQA"]["value"] == 0.5
    assert "paired bootstrap" in found.stdout


@pytest.mark.parametrize(
    "words, message",
    [
        (("q", "a"), "three files or more"),
        (("q", "a", "short"), "answers 1 of 2 questions, question 12 is missing"),
        (("q", "right", "right"), "annotations"),
        (("q", "a", "q"), "should be a list"),
    ],
)
def test_files_that_do_not_belong_together_are_named(tmp_path, words, message):
    write(tmp_path)
    found = score(tmp_path, *words)
    assert found.exit_code == 2 and message in found.stderr


def test_a_missing_answer_may_be_allowed(tmp_path):
    write(tmp_path)
    assert score(tmp_path, "q", "a", "short", "--allow-missing").exit_code == 0


def test_scoring_answers_imports_no_torch(tmp_path):
    write(tmp_path)
    files = [str(tmp_path / f"{name}.json") for name in ("q", "a", "right")]
    code = (
        "import sys; from captioning.cli import app; "
        f"app(['score', '--task', 'vqa', *{files!r}], standalone_mode=False); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
