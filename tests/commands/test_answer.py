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


@pytest.mark.parametrize(
    "questions, said",
    [
        (["is it red?"], ""),
        (["is it flurble, gronk?"], "'is it flurble, gronk?': the model does not know flurble, gronk\n"),
        (["red " * 2000], f"'{'red ' * 14}r...': only 30 of 2,000 words are read\n"),
        (["is it gronk?", "is it gronk red?"], "the model does not know gronk (so in 1 more)\n"),
        ([" ".join(f"gronk{n}" for n in range(40))], "only 30 of 40 words are read; the model does not know gronk0, "),
    ],
)
def test_what_is_not_read_of_a_question_is_said_and_the_question_answered(model, photos, questions, said):
    found = answer(photos, *questions, model=model)
    assert found.exit_code == 0 and len(found.stdout.splitlines()) == 2 * len(questions)
    assert said in found.stderr and bool(said) == bool(found.stderr)


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


def test_files_of_a_table_lie_in_the_folder_that_is_named_with_it(model, photos, tmp_path_factory):
    table = tmp_path_factory.mktemp("elsewhere") / "asked.csv"
    table.write_text(
        "file,question,id\nb.png,is it red?,q1\na.png,is it?,q2\nb.png,what colour is it?,q3\nc.png,is it?,q4\n"
    )
    found = answer(photos, "--questions", table, "--json", model=model)
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert [one["question_id"] for one in lines] == ["q1", "q3", "q2"]
    assert {one["file"] for one in lines} == {str(photos / "a.png"), str(photos / "b.png")}
    assert found.exit_code == 1 and "c.png" in found.stderr


def test_official_questions_are_answered_as_their_scores_read_them(model, photos):
    write(photos)
    (photos / "photos").mkdir()
    (photos / "a.png").rename(photos / "photos" / "COCO_train2014_000000000001.png")
    found = answer(photos / "photos", "--questions", photos / "q.json", "--json", model=model)
    assert found.exit_code == 0, found.stderr
    (photos / "said.jsonl").write_text(found.stdout)
    scored = CliRunner().invoke(
        app, ["score", "--task", "vqa", *(str(photos / name) for name in ("q.json", "a.json", "said.jsonl"))]
    )
    assert scored.exit_code == 0, scored.stderr
    absent = answer(photos, "--questions", photos / "q.json", model=model)
    assert absent.exit_code == 2 and "lacks 1 of the photos" in absent.stderr


def test_answers_do_not_depend_on_how_many_photos_are_seen_at_once(model, photos):
    (photos / "broken.png").write_text("no picture")
    asked = ["is it red?", "what colour is it?", "--json", "--top", 2]
    alone = answer(photos, *asked, "--batch-size", 1, model=model)
    together = answer(photos, *asked, "--batch-size", 16, model=model)
    assert alone.exit_code == together.exit_code == 1
    for one, other in zip(alone.stdout.splitlines(), together.stdout.splitlines(), strict=True):
        one, other = json.loads(one), json.loads(other)
        assert one.pop("probability") == pytest.approx(other.pop("probability"), abs=1e-5)
        assert [two.pop("probability") for two in one["others"]] == pytest.approx(
            [two.pop("probability") for two in other["others"]], abs=1e-5
        )
        assert one == other


@pytest.mark.parametrize(
    "words, further",
    [(["is it red?"], "is it red?"), (["a.png"], "a.png"), ([".", "."], "."), ([".", "why?"], "why?")],
)
def test_what_a_file_of_questions_says_is_not_said_twice(model, photos, words, further, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / "asked.csv").write_text("file,question\nb.png,is it red?\n")
    found = answer(*words, "--questions", "asked.csv", model=model)
    assert found.exit_code == 2 and f"leave out {further!r}" in found.stderr


def test_where_was_looked_is_drawn_for_each_question(model, photos):
    found = answer(photos / "a.png", "is it red?", "is it?", "--attention", photos / "seen", model=model)
    assert found.exit_code == 0, found.stderr
    assert sorted(path.name for path in (photos / "seen").iterdir()) == ["a-2.png", "a.png"]


def test_where_a_clip_was_looked_at_is_not_drawn_as_if_it_were_a_photo(model, photos):
    first, second = pictures(2)
    first.save(photos / "moving.gif", save_all=True, append_images=[second], duration=100)
    before = (photos / "a.png").read_bytes()
    found = answer(photos / "a.png", "is it red?", "--attention", photos, model=model)
    assert found.exit_code == 1 and "one of the photos" in found.stderr and (photos / "a.png").read_bytes() == before
    found = answer(photos / "moving.gif", "is it red?", "--attention", photos / "seen", model=model)
    assert found.exit_code == 0 and (photos / "seen" / "moving.png").exists()  # a model of photos sees its first frame
    clip = save_bundle(photos / "clips", answering_bundle("up_down", clips=True), card="# tiny")
    found = answer(photos / "moving.gif", photos / "b.png", "is it red?", "--attention", photos / "s", model=clip)
    assert found.exit_code == 1 and "read as a clip" in found.stderr and not list((photos / "s").iterdir())
    assert len(found.stdout.splitlines()) == 2


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
