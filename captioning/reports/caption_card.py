"""A caption under its picture: point at a word, click it or reach it by Tab to see where the model looked.

The HTML needs no script and nothing beside it, so that it works in a notebook, on the page of the demo and in a mail.
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

THUMBNAIL = 320  # pixels of a side at most, of what a caption keeps of its picture

# Every rule is about the card alone: a notebook has a look of its own.
STYLE = (
    ".captioning-card{display:inline-block;position:relative;max-width:100%;margin:0 12px 12px 0;vertical-align:top;"
    "font:15px/1.5 system-ui,sans-serif}"
    ".captioning-card>img{display:block;border-radius:6px}"
    ".captioning-card .word{display:inline-block;padding:0 5px;margin:0 1px 2px 0;border:1px solid #8886;"
    "border-radius:5px;cursor:pointer}"
    ".captioning-card .word:hover,.captioning-card .word:focus{border-color:#d9730d;outline:0;background:#d9730d22}"
    ".captioning-card .heat{display:none;position:absolute;left:0;top:0;margin:0;border-radius:6px;pointer-events:none}"
    ".captioning-card .word:hover .heat,.captioning-card .word:focus .heat{display:block}"
    ".captioning-card .text{margin:6px 0 2px;font-weight:600}.captioning-card .score{opacity:.65;font-size:13px}"
)


SCORE = (
    "The score is what the search ranked by; it compares captions of one model and is no probability. "
    "How sure the model is, where it was calibrated, is one: of nothing being named that is not there."
)


class Caption(Protocol):
    """What a card shows of a caption (`captioning.tasks.captioning.caption.Caption`)."""

    text: str
    score: float
    words: list[str]
    log_probabilities: list[float] | None
    attention: np.ndarray | None
    boxes: np.ndarray | None


def thumbnail(picture: Image.Image) -> Image.Image:
    """A small copy, no side longer than THUMBNAIL."""
    small = picture.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return small


def card(captions: Sequence[Caption], picture: Image.Image | None) -> str:
    """HTML of one picture and its captions, best first. Words are live where their attention is known."""
    size, shot = (0, 0), ""
    if picture is not None:
        size = picture.size
        uri = data_uri(picture.convert("RGB"), "JPEG", quality=85)
        alt = escape(captions[0].text if captions else "")
        shot = f'<img src="{uri}" width="{size[0]}" height="{size[1]}" alt="{alt}" style="margin:0">'
    said = "".join(_sentence(caption, size if picture is not None else None) for caption in captions)
    return f'<div class="captioning-card"><style>{STYLE}</style>{shot}{said}</div>'


def _sentence(caption: Caption, size: tuple[int, int] | None) -> str:
    score = f"score {caption.score:.2f}" if math.isfinite(caption.score) else ""
    sure = getattr(caption, "confidence", None)
    score += f" · {sure:.0%} sure" if sure is not None else ""
    width = max(size[0], 360) if size else 480
    return (
        f'<div style="max-width:{width}px"><div class="text">{escape(caption.text)}</div>'
        f'<div>{"".join(_words(caption, size))}</div><div class="score" title="{SCORE}">{score}</div></div>'
    )


def _words(caption: Caption, size: tuple[int, int] | None) -> list[str]:
    """A button a word; nothing where there is nothing to show."""
    if size is None or caption.attention is None:
        return []
    cells = caption.attention.shape[-1] - class_tokens(caption.attention.shape[-1])
    if caption.boxes is None and math.isqrt(cells) ** 2 != cells:
        return []  # neither regions nor a square of cells: there is no telling where a token lies
    probabilities = caption.log_probabilities or []
    buttons = []
    for i, (word, weights) in enumerate(zip(caption.words, caption.attention, strict=True)):
        heat = heat_layer(heat_map(weights, (HEAT_SIDE, HEAT_SIDE), boxes=caption.boxes))
        known = f", probability {math.exp(probabilities[i]):.0%}" if i < len(probabilities) else ""
        title = escape(f"where the model looked for “{word}”{known}")
        place = f"width:{size[0]}px;height:{size[1]}px"
        layer = f'<img class="heat" src="{data_uri(heat, "PNG")}" alt="{title}" style="{place}">'
        buttons.append(f'<span class="word" role="button" tabindex="0" title="{title}">{escape(word)}{layer}</span>')
    return buttons
