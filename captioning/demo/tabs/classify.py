"""The tab of labels: a photo and names in, how probable each is out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from captioning.demo.answers import answer_to, hint
from captioning.demo.tab import Tab
from captioning.errors import UserError
from captioning.reports.page import data_uri
from captioning.tasks.embedding.embedder import Embedder

MOST_LETTERS = 2000  # of all labels, which the server counts itself
MOST_LABELS = 100
SHOWN = 10
USUAL = "a dog, a child, people, water, snow, a street, grass"


def classified(embedder: Embedder, upload: str | os.PathLike[str] | None, labels: Any) -> str:
    """The picture and its labels, the most probable first, as HTML; or the sentence that says what is wrong."""

    def make(image: Any, picture: Image.Image | None) -> str:
        found = embedder.classify(image, chosen(labels))
        rows = "".join(
            f'<tr><td class="text">{escape(label)}</td><td>{100 * value:.1f}%</td>'
            f'<td><meter max="1" value="{value:.4f}"></meter></td></tr>'
            for label, value in list(found.items())[:SHOWN]
        )
        photo = "" if picture is None else f'<img alt="" src="{data_uri(picture, "JPEG", quality=88)}">'
        return f"{photo}<table>{rows}</table>" + hint("Probabilities among these labels, whatever else is in it.")

    return answer_to(upload, embedder, make)


def chosen(labels: Any) -> list[str]:
    """Names between commas, each once. Raises UserError for what the page does not offer."""
    if not isinstance(labels, str) or len(labels) > MOST_LETTERS:
        raise UserError(f"The labels have at most {MOST_LETTERS} letters in all.")
    names = list(dict.fromkeys(name.strip() for name in labels.split(",") if name.strip()))
    if not 2 <= len(names) <= MOST_LABELS:
        raise UserError(f"Give 2 to {MOST_LABELS} labels, with commas between them: a dog, a cat.")
    return names


def controls() -> list[Any]:
    """The labels."""
    import gradio

    return [gradio.Textbox(label="Labels", value=USUAL, max_length=MOST_LETTERS, elem_id="classify-labels")]


def build(models: Mapping[str, Embedder], samples: Sequence[Path]) -> None:
    """What is in the tab."""
    from captioning.demo.layout import photo_tab

    photo_tab("classify", models, samples, classified, button="Classify", controls=controls)


def first(embedder: Embedder, sample: Path) -> str:
    """The first answer of a fresh model."""
    return classified(embedder, sample, USUAL)


TAB = Tab(place=30, title="Labels", verb="classify", build=build, first=first)
