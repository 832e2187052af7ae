"""The tab of places: a photo and phrases in, boxes of what they mean out; or a sentence whose words point at boxes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from captioning.demo.answers import answer_to, hint
from captioning.demo.tab import Tab
from captioning.errors import UserError
from captioning.reports.attention_map import heat_layer, heat_map
from captioning.reports.page import data_uri
from captioning.reports.region_picture import box_picture
from captioning.tasks.grounding.location import Location
from captioning.tasks.grounding.locator import Locator

MOST, LONGEST = 10, 300  # phrases, and letters of all of them
WIDTH = 640  # pixels of the drawn picture
EXAMPLE = "a man, the dog"


def answer(locator: Locator, upload: str | os.PathLike[str] | None, phrases: Any) -> str:
    """The picture with the boxes of phrases, and a line for each, as HTML; or the sentence that says what is wrong.

    `phrases` stand between commas; a sentence of several phrases is taken as it is, and its noun phrases are located.
    """

    def make(image: Any, picture: Image.Image | None) -> str:
        asked = split(phrases)
        if picture is None:
            raise UserError("Boxes are drawn on photos: choose a photo, not a clip.")
        if len(asked) == 1:
            grounded = locator.ground(image, asked[0])
            if len(grounded.phrases) > 1:
                return grounded.html(picture, width=WIDTH) + lines(grounded.locations)
        found = locator.locate(image, asked)
        boxes = [box for one in found for box in one.boxes]
        shot = data_uri(box_picture(picture, boxes, width=WIDTH), "JPEG", quality=88)
        shown = f'<img src="{shot}" alt="{escape(", ".join(asked))}" style="max-width:100%">'
        return shown + lines(found) + (where_looked(found[0], picture) if len(found) == 1 else "")

    return answer_to(upload, locator, make)


def split(phrases: Any) -> list[str]:
    """Phrases between commas. Raises UserError for none, or too many."""
    if not isinstance(phrases, str) or not phrases.strip():
        raise UserError(f"Say what is to be found, such as: {EXAMPLE}.")
    asked = [phrase.strip() for phrase in phrases.split(",") if phrase.strip()]
    if len(asked) > MOST or len(phrases) > LONGEST:
        raise UserError(f"Ask for at most {MOST} phrases, of {LONGEST} letters in all.")
    return asked


def lines(found: Sequence[Location]) -> str:
    """What was found of each phrase."""
    said = []
    for one in found:
        many = f"{len(one.boxes)} places" if len(one.boxes) > 1 else "found"
        how = f"{many}, right with probability {one.box.score:.2f}" if one.found else "not there"
        said.append(f"<li><b>{escape(one.phrase)}</b>: {how} (there with probability {one.there:.2f})</li>")
    return f"<ul>{''.join(said)}</ul>" + hint(
        "A box counts as right where it shares half of its area with the true one."
    )


def where_looked(one: Location, picture: Image.Image) -> str:
    """The photo under a map of which parts show what is meant."""
    weights = one.attention / max(float(one.attention.sum()), 1e-9)
    heat = heat_map(np.asarray(weights), picture.size, boxes=one.places)
    layer = Image.alpha_composite(picture.convert("RGBA"), heat_layer(heat).convert("RGBA").resize(picture.size))
    shot = data_uri(layer.convert("RGB"), "JPEG", quality=85)
    return f'<img src="{shot}" alt="where it is" style="max-width:100%">' + hint("The parts that show it.")


def build(models: Mapping[str, Any], samples: Sequence[Path]) -> None:
    """What is in the tab."""
    from captioning.demo.layout import photo_tab

    def controls() -> list[Any]:
        import gradio

        return [
            gradio.Textbox(label="What is to be found?", placeholder=EXAMPLE, info="Phrases with commas, or a sentence")
        ]

    photo_tab("locate", models, samples, answer, button="Find", controls=controls, on_upload=False)


def first(locator: Locator, sample: Path) -> object:
    """One answer, since the first of a fresh model is slow."""
    return locator.locate(sample, EXAMPLE.split(", "))


TAB = Tab(place=40, title="Places", verb="locate", build=build, first=first)
