"""Questions are rows of their image: learned, answered, saved and loaded by the one loop there is."""

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_answers import FORMS, HEADS, Width, answering_bundle, built, examples, memory
from tiny_model import pictures

import captioning
from captioning.data.questions import Question, QuestionedExample
from captioning.data.synthetic.scene_questions import SceneQuestions
from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.models.bundle import save_bundle
from captioning.tasks.question_answering.classification import AnswerClassification
from captioning.training.model_parts import part_of


@pytest.mark.parametrize("form", FORMS)
def test_what_is_taught_is_answered(form):
    known, seen = examples(), memory()
    task = built(form, known).train()
    targets = task.targets(known, 0)
    optimizer = torch.optim.AdamW(task.parameters(), lr=1e-2)
    for _ in range(150):
        loss, parts = task.loss(seen, targets, range(6))
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        if loss < 0.02:
            break
    assert set(parts) >= {"loss"}
    task.eval()
    answers = dict(zip(range(6), task.predict(seen, task.targets(known, 0)), strict=True))
    scores = task.score(answers, known)
    assert scores.corpus == {"exact": 1.0}
    assert answers[1] == ["blue", "no", "book, lamp"]


@pytest.mark.parametrize("form", FORMS)
def test_answers_depend_neither_on_the_batch_nor_on_the_other_questions(form):
    known, seen = examples(), memory()
    task = built(form, known).eval()
    together = task.predict(seen, task.targets(known, 0))
    for i, example in enumerate(known):
        alone = VisualMemory(seen.tokens[i : i + 1], seen.mask[i : i + 1], seen.pooled[i : i + 1])
        for r, question in enumerate(example.questions):
            one = dataclasses.replace(example, questions=(question,))
            assert task.predict(alone, task.targets([one], 0)) == [[together[i][r]]]
    turned = [dataclasses.replace(one, questions=one.questions[::-1]) for one in known]
    assert task.predict(seen, task.targets(turned, 0)) == [those[::-1] for those in together]


def test_only_the_answer_is_learned_behind_a_prompt():
    known = examples()
    task = built("written_by_lstm", known)
    targets = task.targets(known, 0)
    rows, behind = targets.answers
    words = task.vocabulary.words
    learned = (behind[:, :, :-1] > 0)[1]
    said = [[words[i] for i in rows[1, r, 1:][learned[r]].tolist()] for r in range(3)]
    assert said == [["blue", "<eos>"], ["no", "<eos>"], ["book", ",", "lamp", "<eos>"]]
    read = [words[i] for i in rows[1, 0].tolist() if i]
    assert read == ["what", "colour", "is", "it", "<bos>", "blue", "<eos>"]


def test_an_answer_outside_the_list_teaches_a_softmax_nothing_and_ten_people_teach_thirds():
    known = examples()
    task = AnswerClassification(head=HEADS["up_down"], min_count=3, objective="softmax")
    task.fit(known)
    assert "yes" not in task.answers and "no" in task.answers
    task.build(Width(), part_of)
    loss, _ = task.loss(memory(), task.targets(known, 0), range(6))
    assert torch.isfinite(loss)
    people = Question(0, "what?", ("Dog",) * 7 + ("cat",) * 2 + ("bird",), "dog")
    task = AnswerClassification(head=HEADS["up_down"], vocabulary={"min_count": 1})
    task.fit([QuestionedExample(0, "0.jpg", (), questions=(people, Question(1, "who?", ("cat",), "cat")))])
    targets = task.targets([QuestionedExample(0, "0.jpg", (), questions=(people,))], 0)
    assert targets.answers[0, 0].tolist() == [pytest.approx({"dog": 1.0, "cat": 2 / 3}[one]) for one in task.answers]


def test_smoothed_labels_are_shared_by_all_answers():
    found = examples()
    losses = {}
    for smoothing in (0.0, 0.4):
        torch.manual_seed(0)
        task = AnswerClassification(head=HEADS["up_down"], objective="softmax", label_smoothing=smoothing)
        task.fit(found)
        task.build(Width(), part_of)
        task.head.eval()
        seen, targets = memory(), task.targets(found, 0)
        losses[smoothing] = task.loss(seen, targets, [])[0]
        logits, answers = task._rows(seen, targets)
    spread = 0.6 * answers + 0.4 / answers.shape[1]
    torch.testing.assert_close(losses[0.4], torch.nn.functional.cross_entropy(logits, spread))
    torch.testing.assert_close(losses[0.0], torch.nn.functional.cross_entropy(logits, answers))
    with pytest.raises(UserError, match="label_smoothing=0.1"):
        AnswerClassification(head=HEADS["up_down"], label_smoothing=0.1)


def test_rows_of_training_change_with_the_epoch_and_nothing_else():
    many = dataclasses.replace(examples()[0], questions=tuple(Question(i, f"what {i}?", ("a",), "a") for i in range(9)))
    task = AnswerClassification(head=HEADS["up_down"], questions_per_image=3)
    task.fit([many])
    chosen = [[one.id for one in task.train().rows(many, epoch)] for epoch in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2] and len(chosen[0]) == 3
    assert len(task.eval().rows(many, 1)) == 9


@pytest.fixture(params=["up_down", "written_by_transformer"])
def model(request, tmp_path) -> Path:
    return save_bundle(tmp_path / "model", answering_bundle(request.param), card="# tiny")


def test_a_loaded_model_answers_as_the_one_that_was_saved(model):
    picture = pictures(1)[0]
    answerer = captioning.load(model, device="cpu")
    asked = ["what colour is it?", "is it red?", "what is on the table?"]
    found = answerer.answer(picture, asked, top=2)
    assert [one.question for one in found] == asked
    assert answerer.answer(picture, asked[::-1], top=2) == found[::-1]
    one = answerer.answer(picture, asked[1], top=2)
    assert one.text == found[1].text and str(one) == one.text
    assert one.probability == pytest.approx(found[1].probability, abs=1e-5)
    assert 0 <= one.others[0][1] <= one.probability <= 1
    assert one.attention is None or one.attention.sum() == pytest.approx(1.0, abs=1e-4)
    again = save_bundle(model.with_name("again"), answerer.bundle, card="# again")
    assert captioning.load(again, device="cpu").answer(picture, asked, top=2) == found


@pytest.mark.parametrize("asked", [[], "", "???", ["is it?", 3], "w" * 20_000])
def test_what_is_no_question_is_refused(model, asked):
    with pytest.raises(UserError, match="question"):
        captioning.load(model, device="cpu").answer(pictures(1)[0], asked)


def test_two_thousand_unknown_words_are_read_as_far_as_the_model_reads(model):
    answerer = captioning.load(model, device="cpu")
    long = " ".join(["zzz"] * 2000)
    first = " ".join(["zzz"] * answerer.task.vocabulary.max_words)
    assert answerer.answer(pictures(1)[0], long).text == answerer.answer(pictures(1)[0], first).text


def test_a_picture_that_is_none_is_named(model, tmp_path):
    (tmp_path / "no.jpg").write_text("no picture")
    with pytest.raises(UserError, match="no.jpg"):
        captioning.load(model, device="cpu").answer(tmp_path / "no.jpg", "is it red?")


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "answers.json"),
        ("{", r"answers\.json is damaged"),
        ('{"answers": [1]}', "no list"),
        ('{"answers": ["a", "a"]}', "different"),
        ('{"answers": ["a", "b"]}', "do not fit"),
    ],
)
def test_a_damaged_list_of_answers_is_named(tmp_path, text, message):
    folder = save_bundle(tmp_path / "model", answering_bundle("up_down"), card="# tiny")
    (folder / "answers.json").unlink()
    if text is not None:
        (folder / "answers.json").write_text(text)
    with pytest.raises(UserError, match=message):
        captioning.load(folder, device="cpu")


def test_scores_are_of_questions_by_kind():
    source = SceneQuestions(train=4, val=1, test=3, unseen=0)
    known = source.examples("train")
    task = built("up_down", known).eval()
    answers = {one.id: [q.answer for q in one.questions] for one in known}
    scores = task.score(answers, known, metrics=("exact",))
    assert scores.corpus["exact"] == 1.0 and scores.corpus["exact (count)"] == 1.0
    assert set(scores.images) == {q.id for one in known for q in one.questions}
    assert task.usual_metrics(source) == ("exact",)


def test_an_evaluation_writes_the_official_result_file():
    known = examples()
    task = built("up_down", known).eval()
    seen = memory()
    predictions = dict(zip(range(6), task.predict(seen, task.targets(known, 0)), strict=True))
    listed = task.result_file(predictions, known)
    assert [one["question_id"] for one in listed] == [q.id for one in known for q in one.questions]
    assert [one["answer"] for one in listed] == [answer for those in predictions.values() for answer in those]
    assert all(set(one) == {"question_id", "answer"} for one in listed)


def test_a_run_ends_with_the_verb_that_its_task_is_for():
    from typer.main import get_command

    from captioning.cli import app
    from captioning.tasks.captioning.task import Captioning
    from captioning.tasks.embedding.task import Embedding
    from captioning.tasks.grounding.task import Grounding

    usages = [task.usage for task in (AnswerClassification, Captioning, Embedding, Grounding)]
    assert usages[0] == "answer PHOTO QUESTION"
    assert {usage.split()[0] for usage in usages} <= set(get_command(app).commands)
