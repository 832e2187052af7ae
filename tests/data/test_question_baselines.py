"""What guessing reaches is counted on training answers alone, and falls back from question to kind to all."""

from captioning.commands.data import blind, check
from captioning.data.question_baselines import blind_scores, guesses
from captioning.data.questions import Question, QuestionedExample
from captioning.data.synthetic.scene_questions import SceneQuestions
from captioning.data.synthetic.scenes import Scenes


def picture(*questions):
    return QuestionedExample("p", "p.jpg", (), questions=questions)


def asked(number, text, *answers, kind="what"):
    return Question(number, text, answers, answers[0] if answers else "", kind=kind)


TRAIN = [
    picture(asked(1, "what is it?", "dog"), asked(2, "What is it?", "cat"), asked(3, "what is it?", "cat")),
    picture(asked(4, "is it red?", "yes", kind="is"), asked(5, "is it big?", "yes", kind="is"), asked(6, "hm?", "yes")),
]


def test_a_guess_falls_back_from_the_question_to_its_kind_to_everything():
    test = [picture(asked(7, "what is it?"), asked(8, "is it old?", kind="is"), asked(9, "why?", kind="why"))]
    whole, kinds, texts = guesses(TRAIN, test).values()
    assert whole == {7: "yes", 8: "yes", 9: "yes"}
    assert kinds == {7: "cat", 8: "yes", 9: "yes"}
    assert texts == {7: "cat", 8: "yes", 9: "yes"}


def test_of_equally_frequent_answers_the_order_of_the_pictures_does_not_choose():
    train = [picture(asked(1, "what?", "dog")), picture(asked(2, "what?", "cat"))]
    test = [picture(asked(3, "what?"))]
    assert guesses(train, test) == guesses(train[::-1], test)


def test_ten_people_are_judged_by_the_accuracy_of_vqa():
    train = [picture(asked(1, "how many?", *["2"] * 10))]
    test = [picture(asked(2, "how many?", *["2"] * 3, *["3"] * 7))]
    assert list(blind_scores(train, test).values())[-1] == 0.9  # each of ten left out: three times 2/3, else 1


def test_answers_that_nobody_knows_are_no_baseline():
    assert blind_scores(TRAIN, [picture(asked(7, "what is it?"))]) == {}


def test_the_check_of_a_source_prints_them(capsys):
    assert check("scene_questions", ["train=60", "val=5", "test=20", "unseen=5"]) == 0
    printed = capsys.readouterr().out
    assert "test   " in printed and "% by the most frequent answer to each question of train" in printed
    assert "most frequent answer to each kind of question of train" in printed
    assert blind(Scenes(train=1, val=1, test=1, unseen=0)) == []


def test_more_is_known_by_the_kind_of_a_question_than_by_none():
    world = SceneQuestions(train=200, val=1, test=100, unseen=0)
    whole, kinds, texts = blind_scores(world.examples("train"), world.examples("test")).values()
    assert 0 < whole < kinds and 0 < texts < 0.5
