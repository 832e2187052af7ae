"""Answers to questions about one picture: where the model looked lies over it, further answers are bars below.

The HTML needs no script and nothing beside it, so that it works on the page of the demo, in a notebook and in a mail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Protocol

import numpy as np
from PIL import Image

from captioning.reports.attention_map import class_tokens, heat_layer, heat_map
from captioning.reports.page import HEAT_SIDE, data_uri

# Every rule is about the cards alone: a notebook has a look of its own.
STYLE = (
    ".captioning-answer{display:inline-block;max-width:100%;margin:0 12px 16px 0;vertical-align:top;"
    "font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    ".captioning-answer .looked{position:relative;max-width:100%;line-height:0}"
    ".captioning-answer .looked img{display:block;max-width:100%;height:auto;margin:0;border-radius:6px}"
    ".captioning-answer .looked .heat{position:absolute;inset:0;width:100%;height:100%}"
    ".captioning-answer .looked:hover .heat,.captioning-answer .looked:focus .heat{opacity:0}"
    ".captioning-answer .question{margin:6px 0 0;opacity:.75}.captioning-answer .text{margin:0 0 4px;font-weight:600}"
    ".captioning-answer .bar{position:relative;margin:3px 0;padding:0 6px;border-radius:3px;background:#8882;"
    "font-size:13px;overflow:hidden}"
    ".captioning-answer .bar i{position:absolute;inset:0 auto 0 0;background:#6b8fb3aa}"
    ".captioning-answer .bar span{position:relative;display:flex;justify-content:space-between;gap:8px}"
)


class Answer(Protocol):
    """What a card shows of an answer (`captioning.tasks.question_answering.answerer.Answer`)."""

    question: str
    text: str
    probability: float
    others: tuple[tuple[str, float], ...]
    attention: np.ndarray | None
    boxes: np.ndarray | None


def answer_cards(answers: Sequence[Answer], picture: Image.Image | None) -> str:
    """HTML of one picture's questions, each with its answers; without the picture, as of a clip, words alone."""
    shot = data_uri(picture.convert("RGB"), "JPEG", quality=85) if picture is not None else ""
    return f"<style>{STYLE}</style>" + "".join(_card(answer, picture, shot) for answer in answers)


def is_drawable(answer: Answer) -> bool:
    """Whether there is a place in the picture for everything the model looked at: regions, or a square of cells."""
    if answer.attention is None:
        return False
    cells = len(answer.attention) - class_tokens(len(answer.attention))
    return answer.boxes is not None or math.isqrt(cells) ** 2 == cells


def _card(answer: Answer, picture: Image.Image | None, shot: str) -> str:
    looked = ""
    if picture is not None:
        alt = escape(answer.text)
        looked = f'<img src="{shot}" width="{picture.width}" height="{picture.height}" alt="{alt}">{_heat(answer)}'
        looked = f'<div class="looked" tabindex="0" style="width:{picture.width}px">{looked}</div>'
    width = max(picture.width if picture is not None else 0, 320)
    ranked = [(answer.text, answer.probability), *answer.others]
    bars = "".join(
        f'<div class="bar"><i style="width:{100 * min(1, max(0, value)):.1f}%"></i>'
        f"<span><b>{escape(text)}</b>{100 * value:.1f}%</span></div>"
        for text, value in ranked
    )
    return (
        f'<div class="captioning-answer" style="width:{width}px">{looked}'
        f'<p class="question">{escape(answer.question)}</p><p class="text">{escape(answer.text)}</p>{bars}</div>'
    )


def _heat(answer: Answer) -> str:
    """The layer that shows where was looked; nothing where it has no place in the picture."""
    if not is_drawable(answer):
        return ""
    layer = heat_layer(heat_map(answer.attention, (HEAT_SIDE, HEAT_SIDE), boxes=answer.boxes))
    title = escape(f"where the model looked for “{answer.question}”")
    return f'<img class="heat" src="{data_uri(layer, "PNG")}" alt="{title}" title="{title}">'
