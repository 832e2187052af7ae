"""The tab about things: a photo in, the boxes of what is in it out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from captioning.demo.answers import answer_to, hint, refusal
from captioning.demo.tab import Tab
from captioning.errors import UserError
from captioning.reports.page import data_uri
from captioning.reports.region_picture import box_picture
from captioning.tasks.predictor import Predictor
from captioning.tasks.recognition.object_detector import most_salient

LEAST = 0.3


def answer(model: Predictor, upload: str | os.PathLike[str] | None, least: Any) -> str:
    """The photo with the boxes of its things, how many there are of each, and which one it is most about, as HTML."""
    if type(least) not in (int, float) or not 0 <= least <= 1:
        return refusal("How sure it has to be is a number from 0 to 1.")

    def make(image: Any, picture: Image.Image | None) -> str:
        if picture is None:
            raise UserError("Things are found in photos: choose a photo, not a clip.")
        boxes = model.detect(image, least=float(least))
        if not boxes:
            return hint("Nothing was found that sure. Lower the limit, or try another photo.")
        counts = Counter(box.label for box in boxes)
        best = most_salient(boxes)
        rows = "".join(f"<li><b>{escape(label)}</b>: {count}</li>" for label, count in counts.most_common())
        names = ", ".join(counts)
        shot = data_uri(box_picture(picture, boxes, width=640), "JPEG", quality=88)
        return (
            f'<img src="{shot}" alt="{escape(names)}" style="max-width:100%"><ul>{rows}</ul>'
            f"<p>Most of all it shows: <b>{escape(best.label if best else '')}</b></p>"
        )

    return answer_to(upload, model, make)


def controls() -> list[Any]:
    """How sure a thing has to be."""
    import gradio

    return [gradio.Slider(0, 1, value=LEAST, step=0.05, label="How sure it has to be", elem_id="detect-least")]


def build(models: Mapping[str, Any], samples: Sequence[Path]) -> None:
    """What is in the tab."""
    from captioning.demo.layout import photo_tab

    photo_tab("detect", models, samples, answer, button="Find all", controls=controls)


def first(model: Predictor, sample: Path) -> str:
    """The first answer of a fresh model."""
    return answer(model, sample, LEAST)


TAB = Tab(place=45, title="Things", verb="detect", build=build, first=first)
