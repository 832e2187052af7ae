"""The tab about graphs: a photo in, its things and what they are to each other out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from captioning.demo.answers import answer_to, hint, refusal
from captioning.demo.tab import Tab
from captioning.errors import UserError
from captioning.reports.graph_picture import graph_picture
from captioning.reports.page import data_uri

if TYPE_CHECKING:
    from captioning.tasks.scene_graphs.grapher import Grapher

MOST = 20  # relations


def answer(grapher: Grapher, upload: Any, least: Any) -> str:
    """The photo with its graph drawn on it, and the relations as a list."""
    if type(least) not in (int, float) or not 0 <= least <= 1:
        return refusal("How sure it has to be is a number from 0 to 1.")

    def make(image: Any, picture: Image.Image | None) -> str:
        if picture is None:
            raise UserError("a graph is drawn of a photo, not of a clip")
        found = grapher.graph(image, least=float(least), most=MOST)
        if not found.objects:
            return hint("Nothing was found that sure. Lower the limit, or try another photo.")
        edges = [(e.subject, e.predicate, e.object, e.score) for e in found.relations]
        drawn = graph_picture(picture, found.objects, edges, width=640)
        said = "".join(
            f"<li>{escape(' '.join(triple))} <small>{edge.score:.2f}</small></li>"
            for triple, edge in zip(found.triples(), found.relations, strict=True)
        )
        names = ", ".join(escape(name) for name in found.names())
        return (
            f'<img src="{data_uri(drawn, "JPEG", quality=88)}" alt="{escape(str(found))}" style="max-width:100%">'
            f"<p>{names}</p>" + (f"<ul>{said}</ul>" if said else hint("No relation between them is that sure."))
        )

    return answer_to(upload, grapher, make)


def controls() -> list[Any]:
    """How sure a thing and a relation have to be."""
    import gradio

    return [gradio.Slider(0, 1, value=0.3, step=0.05, label="How sure it has to be", elem_id="graph-least")]


def build(models: Mapping[str, Any], samples: Sequence[Path]) -> None:
    """What is in the tab."""
    from captioning.demo.layout import photo_tab

    photo_tab("graph", models, samples, answer, button="Draw the graph", controls=controls)


def first(grapher: Grapher, sample: Path) -> str:
    """The first answer of a fresh model."""
    return answer(grapher, sample, 0.3)


TAB = Tab(place=50, title="Graphs", verb="graph", build=build, first=first)
