"""VQA accuracy and WUPS are what their authors' programs compute, slips included."""

import random
import re

import pytest

from captioning.errors import UserError
from captioning.metrics.answer_scores import score_answers
from captioning.metrics.answers import (
    CONTRACTIONS,
    Wups,
    exact_match,
    normalized,
    soft_targets,
    vqa_accuracy,
)

WORDS = ["two", "2", "the dog", "dog", "A dog.", "dogs", "yes", "no", "no1", "1,000", "1000", "it's", "its", "whats"]
WORDS += [
    "red-brown",
    "red - brown",
    "?",
    "",
    "3.5",
    "3.",
    "...",
    "a",
    "none",
    "0",
    "left/right",
    "don't",
    "dont",
    "T.V.",
]


def plainly(answer, human):
    """The published procedure step by step: each person left out in turn, a third for each other who agrees."""

    def bare(text):
        out = text
        for mark in [*';/[]"{}()=+', "\\", *"_-><@`,?!"]:
            if mark + " " in text or " " + mark in text or re.search(r"(\d)(,)(\d)", text):
                out = out.replace(mark, "")
            else:
                out = out.replace(mark, " ")
        return re.sub(r"(?!<=\d)(\.)(?!\d)", "", out, count=32)

    digits = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}
    digits |= {"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"}
    said = []
    for word in bare(answer.replace("\n", " ").replace("\t", " ").strip()).lower().split():
        word = digits.get(word, word)
        if word not in ("a", "an", "the"):
            said.append(CONTRACTIONS.get(word, word))
    said = " ".join(said)
    people = [bare(one) for one in human] if len(set(human)) > 1 else human
    accuracies = []
    for left_out in range(len(people)):
        others = people[:left_out] + people[left_out + 1 :]
        accuracies.append(min(1, sum(other == said for other in others) / 3))
    return sum(accuracies) / len(accuracies)


def test_accuracy_equals_the_published_procedure_on_ten_thousand_lists():
    dice = random.Random(0)
    for _ in range(10_000):
        few = dice.sample(WORDS, dice.randint(1, 5))
        human = [dice.choice(few) for _ in range(10)]
        answer = dice.choice([*few, dice.choice(WORDS)])
        assert vqa_accuracy(answer, human) == pytest.approx(plainly(answer, human), abs=1e-12)


@pytest.mark.parametrize(
    "answer, same",
    [
        ("two.", "2"),
        ("2", "2"),
        ("the dog's", "dog's"),
        ("1,000", "1000"),
        ("no1", "no1"),
        ("3.5", "3.5"),
        ("3.", "3"),
        ("T.V.", "tv"),
        ("red-brown", "red brown"),
        ("red - brown", "red brown"),
        ("12:30", "12:30"),
        ("None", "0"),
        ("whats up", "what's up"),
        ("couldnt've", "couldn't've"),
        ("its", "its"),
        ("An\tapple\n", "apple"),
        ("the", ""),
    ],
)
def test_answers_are_normalised_as_officially(answer, same):
    assert normalized(answer) == same


def test_contractions_are_completed_from_one_missing_apostrophe_alone():
    assert CONTRACTIONS["dont"] == "don't"
    assert "couldntve" not in CONTRACTIONS  # both are missing: the official list has no such entry
    assert CONTRACTIONS["somebody'd"] == "somebodyd"  # a slip of the official list
    assert len(CONTRACTIONS) == 114


@pytest.mark.parametrize("agreeing, accuracy", [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_accuracy_is_the_mean_over_people_left_out(agreeing, accuracy):
    human = ["cat"] * agreeing + [f"other {i}" for i in range(10 - agreeing)]
    assert vqa_accuracy("cat", human) == pytest.approx(accuracy)


def test_people_who_all_say_the_same_keep_their_punctuation():
    assert vqa_accuracy("T-shirt", ["t-shirt"] * 10) == 0.0  # the official program compares "t shirt" with "t-shirt"
    assert vqa_accuracy("T-shirt", ["t-shirt"] * 9 + ["shirt"]) == 1.0


def test_soft_targets_are_thirds_of_people():
    assert soft_targets(["Yes", "yes", "no", "yes.", "yes"]) == {"yes": 1.0, "no": pytest.approx(1 / 3)}


def test_lists_match_in_any_order():
    assert exact_match("book, scissor", "scissor,book") == 1.0
    assert exact_match("book", "scissor, book") == 0.0
    assert exact_match("book, book", "book") == 0.0


def test_scores_are_means_over_questions_and_over_each_kind():
    truth = {1: ["2"] * 10, 2: ["dog"] * 10, 3: ["cat"] * 10}
    kinds = {1: ("number", "how many"), 2: ("other", "what"), 3: ("other", "")}
    scores = score_answers(truth, {1: "two", 2: "cat", 3: "cat"}, metrics=("vqa", "exact"), kinds=kinds)
    assert scores.images == (1, 2, 3)
    assert scores.per_image["VQA"].tolist() == [1.0, 0.0, 1.0]
    assert scores.corpus == {
        "VQA": pytest.approx(2 / 3),
        "VQA (other)": 0.5,
        "VQA (number)": 1.0,
        "VQA (how many)": 1.0,
        "VQA (what)": 0.0,
        "exact": pytest.approx(1 / 3),
        "exact (other)": 0.5,
        "exact (number)": 0.0,
        "exact (how many)": 0.0,
        "exact (what)": 0.0,
    }


def test_wups_is_left_out_with_a_sentence_where_wordnet_is_not(monkeypatch, tmp_path):
    def nowhere():
        raise UserError("WordNet is not on this machine")

    monkeypatch.setattr("captioning.metrics.wordnet.find_wordnet", nowhere)
    scores = score_answers({1: ["dog"]}, {1: "dog"}, metrics=("exact", "wups"))
    assert list(scores.corpus) == ["exact"] and "WordNet" in scores.unavailable["wups"]
    with pytest.raises(UserError, match="WordNet"):
        score_answers({1: ["dog"]}, {1: "dog"}, metrics=("wups",))


@pytest.mark.parametrize(
    "truth, answers, metrics, message",
    [
        ({1: ["a"]}, {}, ("exact",), "1 of 1 questions have no answer, the first is 1"),
        ({1: ["a"]}, {1: "a"}, ("bleu",), "no metric 'bleu'"),
        ({1: ["a"]}, {1: "a"}, (), "no metric is named"),
        ({}, {}, ("exact",), "no questions"),
    ],
)
def test_what_cannot_be_scored_is_said(truth, answers, metrics, message):
    with pytest.raises(UserError, match=message):
        score_answers(truth, answers, metrics=metrics)


class Similar:
    """Similarities as given, whatever the order of a pair."""

    pairs = {("book", "paper"): 0.95, ("book", "lamp"): 0.5}

    def similarity(self, one, other):
        return self.pairs.get((one, other), self.pairs.get((other, one), 0.0))


@pytest.mark.parametrize(
    "answer, truth, threshold, expected",
    [
        ("book", "book", 0.9, 1.0),
        ("unheard", "unheard", 0.9, 1.0),  # the same word, whether WordNet knows it or not
        ("paper", "book", 0.9, 0.95),
        ("lamp", "book", 0.9, 0.05),
        ("lamp", "book", 0.0, 0.5),
        ("book", "book, lamp", 0.9, 0.05),  # what is missing from a list counts by its nearest
        ("book, lamp", "book, paper", 0.0, 0.5),
        ("paper, lamp", "book", 0.0, 0.475),  # a product: each part must be near
        ("", "book", 0.9, 0.0),
    ],
)
def test_wups_is_the_smaller_product_of_best_similarities(answer, truth, threshold, expected):
    wups = Wups(Similar(), threshold=threshold)
    assert wups(answer, truth) == pytest.approx(expected)
    assert wups(truth, answer) == pytest.approx(expected)
