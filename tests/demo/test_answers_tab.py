"""Whatever is asked on the page, the answer is the model's, over a picture of where it looked, or a sentence."""

import re
from html import unescape

import pytest
from tiny_answers import answering_bundle
from tiny_clips import write_clip
from tiny_model import pictures

from captioning.demo.tab import shown_by
from captioning.demo.tabs.answers import MOST_LETTERS, answer, questions
from captioning.tasks.question_answering.answerer import Answerer


@pytest.fixture(scope="module", params=["up_down", "written_by_transformer"])
def answerer(request) -> Answerer:
    return Answerer(answering_bundle(request.param), device="cpu")


@pytest.fixture
def photo(tmp_path):
    pictures(1, 96)[0].save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def texts(html: str, kind: str = "text") -> list[str]:
    return [unescape(text) for text in re.findall(rf'<p class="{kind}">([^<]*)<', html)]


def test_the_page_answers_what_the_model_answers_and_shows_where_it_looked(answerer, photo):
    found = answerer.answer(photo, ["is it red?", "what colour is it?"], top=3)
    html = answer(answerer, photo, "is it red? what colour is it?", 3)
    assert texts(html, "question") == ["is it red?", "what colour is it?"]
    assert texts(html) == [one.text for one in found]
    assert html.count('class="bar"') == sum(1 + len(one.others) for one in found)
    assert html.count('class="heat"') == 2 and "point at the picture" in html
    assert f"{100 * found[0].probability:.1f}%" in html and "<script" not in html


def test_a_model_that_answers_has_the_tab_of_answers_alone(answerer):
    assert [tab.verb for tab in shown_by({"mine": answerer})] == ["answer"]


@pytest.mark.parametrize(
    ("asked", "count", "says"),
    [
        ("", 1, "Type a question"), (None, 1, "Type a question"), ("???", 1, "Type a question"), (3, 1, "Type a"),
        ("a" * (MOST_LETTERS + 1), 1, "at most"), ("is it? " * 6, 1, "at most 5 questions"),
        ("is it?", 0, "1 to 10"), ("is it?", float("nan"), "1 to 10"), ("is it?", "3", "1 to 10"),
    ],
)  # fmt: skip
def test_what_is_no_question_gets_a_sentence(answerer, photo, asked, count, says):
    html = answer(answerer, photo, asked, count)
    (sentence,) = re.findall(r'<p class="refusal" role="alert">([^<]+)</p>', html)
    assert says in unescape(sentence)


def test_what_a_visitor_types_is_no_html(answerer, photo):
    html = answer(answerer, photo, '<img src=x onerror="alert(1)"> is it?', 1)
    assert "<img src=x" not in html and texts(html, "question") == ['<img src=x onerror="alert(1)"> is it?']


def test_questions_are_told_apart_by_their_marks():
    assert questions("is it red") == ["is it red"]
    assert questions(" is it red?  How many\ndogs?? and why") == ["is it red?", "How many dogs?", "and why"]


def test_a_clip_is_answered_with_its_frames(answerer, tmp_path):
    html = answer(answerer, write_clip(tmp_path / "clip.mp4"), "is it red?", 1)
    assert len(texts(html)) == 1 and "figcaption" in html and 'class="heat"' not in html
    assert str(tmp_path) not in html


def test_no_upload_is_refused_before_the_question(answerer, tmp_path):
    for wrong in (None, tmp_path, tmp_path / "gone.jpg"):
        assert 'class="refusal"' in answer(answerer, wrong, "is it red?", 1)
