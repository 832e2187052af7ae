"""The page about answers: which kinds of questions are hard, what is taken for what, where the model looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from captioning.data.questions import Question, all_questions
from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.atomic import write_whole
from captioning.metrics.scores import Scores
from captioning.reports.answers_page import answers_page
from captioning.reports.caption_card import THUMBNAIL
from captioning.reports.page import Panel
from captioning.tasks.question_answering.answerer import Answerer

SHOWN = 12  # questions that earned least, and as many that earned most


def write_answers(
    path: Path,
    answerer: Answerer,
    examples: Sequence[Example],
    source: Source,
    predictions: Mapping[int | str, Sequence[str]],
    scores: Scores,
    *,
    title: str,
) -> Path:
    """Writes the page and returns its path. The pictures shown are looked at once more, for the attention."""
    questions = {one.id: one for one in all_questions(examples)}
    answers: dict[int | str, str] = {}
    place: dict[int | str, Example] = {}
    for example in examples:
        for question, answer in zip(getattr(example, "questions", ()), predictions[example.id], strict=True):
            answers[question.id], place[question.id] = answer, example
    order = [scores.images[i] for i in np.argsort(next(iter(scores.per_image.values())), kind="stable")]
    shown = min(SHOWN, len(order) // 2)
    parts = [
        [panel(answerer, source, place[key], questions[key], answers[key]) for key in keys]
        for keys in (order[:shown], order[::-1][:shown])
    ]
    return write_whole(path, answers_page(title, scores, questions, answers, *parts))


def panel(answerer: Answerer, source: Source, example: Example, question: Question, answer: str) -> Panel:
    """One question on the page. A picture that cannot be read, or is none, is a grey one."""
    text = answer or "(nothing)"
    shared = {"captions": {question.text: text}, "references": tuple(dict.fromkeys(question.answers))}
    try:
        picture = source.image(example)
        found = answerer.answer(picture, question.text)
    except UserError:
        grey = Image.new("RGB", (THUMBNAIL, THUMBNAIL // 2), "grey")
        return Panel(grey, **shared, name=str(example.id))
    small = picture.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    if found.attention is None or found.text != answer:  # looked at alone, a near tie may fall otherwise
        return Panel(small, **shared, name=str(example.id))
    attention = found.attention[None]
    return Panel(small, **shared, words=(text,), attention=attention, boxes=found.boxes, name=str(example.id))
