"""The tab of answers: a question is typed, and the picture shows where the model looked for its answer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from captioning.data.defects import says_something
from captioning.demo.answers import answer_to, hint
from captioning.demo.tab import Tab
from captioning.errors import UserError
from captioning.reports.answer_card import answer_cards, is_drawable
from captioning.tasks.question_answering.answerer import Answer, Answerer

MOST_LETTERS = 500  # of all questions together, which the server counts itself
MOST_QUESTIONS = 5
MOST_ANSWERS = 10


def answer(answerer: Answerer, upload: str | os.PathLike[str] | None, asked: Any, count: Any) -> str:
    """The picture, each question and its answers, best first, as HTML; or the sentence that says what is wrong."""

    def make(image: Any, picture: Image.Image | None) -> str:
        found = answerer.answer(image, questions(asked), top=answers(count))
        return answer_cards(found, picture) + hint(remark(found, picture))

    return answer_to(upload, answerer, make)


def questions(asked: Any) -> list[str]:
    """What was typed: a question, or several that end in question marks. Raises UserError for what the page refuses."""
    if not isinstance(asked, str) or not says_something(asked):
        raise UserError("Type a question first: What colour is it?")
    if len(asked) > MOST_LETTERS:
        raise UserError(f"Ask with at most {MOST_LETTERS} letters in all.")
    parts = [part.strip() for part in asked.replace("\n", " ").split("?")]
    found = [f"{part}?" for part in parts[:-1]] + parts[-1:]
    found = [one for one in found if says_something(one)]
    if len(found) > MOST_QUESTIONS:
        raise UserError(f"Ask at most {MOST_QUESTIONS} questions at once.")
    return found


def answers(count: Any) -> int:
    """How many answers to each question are shown. Raises UserError for what the page does not offer."""
    if isinstance(count, bool) or not isinstance(count, (int, float)) or not 1 <= count <= MOST_ANSWERS:
        raise UserError(f"Ask for 1 to {MOST_ANSWERS} answers.")
    return int(count)


def remark(found: Sequence[Answer], picture: Image.Image | None) -> str:
    """What can be done with the answer."""
    if picture is None:
        return "Below are the frames at which the model looked, and when they are seen."
    if all(map(is_drawable, found)):
        return "The bright parts are where the model looked; point at the picture to see it without."
    return "This model does not look at parts of a picture, so there is no map to show."


def controls() -> list[Any]:
    """The question, and how many answers."""
    import gradio

    return [
        gradio.Textbox(
            label="Question", placeholder="What colour is it? How many are there?", max_length=MOST_LETTERS,
            elem_id="answer-question",
        ),
        gradio.Slider(1, MOST_ANSWERS, value=3, step=1, label="Answers", elem_id="answer-count"),
    ]  # fmt: skip


def build(models: Mapping[str, Answerer], samples: Sequence[Path]) -> None:
    """What is in the tab."""
    from captioning.demo.layout import photo_tab

    photo_tab("answer", models, samples, answer, button="Ask", controls=controls, on_upload=False)


def first(answerer: Answerer, sample: Path) -> str:
    """The first answer of a fresh model."""
    return answer(answerer, sample, "What is it?", 1)


TAB = Tab(place=10, title="Answers", verb="answer", build=build, first=first)
