"""The tab of search: a sentence in, those of some photos that it means out, the nearest first."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from captioning.demo.answers import hint, refusal
from captioning.demo.tab import Tab
from captioning.demo.uploads import checked_upload, for_visitors, photo_in, short
from captioning.errors import UserError
from captioning.reports.page import data_uri
from captioning.tasks.embedding.embedder import Embedder

log = logging.getLogger("captioning")

MOST_LETTERS = 200  # of what is looked for, which the server counts itself
MOST_PHOTOS = 30  # of one visitor
SHOWN = 6
SIDE = 320  # pixels
GRID = "display:grid;gap:.7rem;grid-template-columns:repeat(auto-fill,minmax(9rem,1fr))"


def found(embedder: Embedder, uploads: Any, text: Any, samples: Sequence[Path] = ()) -> str:
    """The visitor's photos, or the samples where there are none, in the order in which the text means them, as HTML;
    or the sentence that says what is wrong. Never raises."""
    try:
        if not isinstance(text, str) or not text.strip() or len(text) > MOST_LETTERS:
            raise UserError(f"Say what is looked for, in at most {MOST_LETTERS} letters: a dog on a beach.")
        files = uploads if isinstance(uploads, list) else [uploads] if uploads else []
        if len(files) > MOST_PHOTOS:
            raise UserError(f"Search at most {MOST_PHOTOS} photos here; captioning search takes whole folders.")
        photos = [(path.name, opened(path, embedder)) for path in map(checked_upload, files or samples)]
        cosines = embedder.embed([photo for _, photo in photos]) @ embedder.embed_text(text.strip())
        figures = "".join(figure(*photos[i], float(cosines[i])) for i in np.argsort(-cosines, kind="stable")[:SHOWN])
        return f'<div class="answer" style="{GRID}">{figures}</div>' + hint("Numbers are cosines; higher is nearer.")
    except UserError as error:
        return refusal(str(error))
    except Exception:  # a bug: one visitor has no answer, and the others go on
        log.exception("the page could not search")
        return refusal("Something went wrong here, and has been written down. Try other photos.")


def opened(path: Path, embedder: Embedder) -> Any:
    """A photo, decoded in a process with limits. Raises UserError, also for a clip."""
    try:
        photo = photo_in(path, size=max(embedder.encoder.size or 0, SIDE))
    except UserError as error:
        raise UserError(for_visitors(error, path)) from None
    if photo is None:
        raise UserError(f"{short(path.name)} is a clip: this tab searches photos.")
    return photo


def figure(name: str, photo: Any, score: float) -> str:
    """One that was found."""
    small = photo.copy()
    small.thumbnail((SIDE, SIDE))
    source = data_uri(small, "JPEG", quality=85)
    caption = f'<figcaption class="text">{escape(short(name))} {score:.3f}</figcaption>'
    return f'<figure style="margin:0"><img alt="" style="max-width:100%" src="{source}">{caption}</figure>'


def build(models: Mapping[str, Embedder], samples: Sequence[Path]) -> None:
    """What is in the tab."""
    import gradio

    from captioning.demo.layout import model_choice

    def respond(uploads: Any, text: Any, *name: Any) -> str:
        chosen = name[0] if name else next(iter(models))
        if not isinstance(chosen, str) or chosen not in models:
            return refusal(f"There is no such model: choose {', '.join(models)}.")
        return found(models[chosen], uploads, text, samples) + hint(f"Answered by the model {chosen}.")

    with gradio.Row(elem_classes="photo-tab"):
        with gradio.Column(elem_classes="asked"):
            uploads = gradio.File(
                label=f"Up to {MOST_PHOTOS} photos; none: the samples", type="filepath", file_count="multiple",
                elem_id="search-upload", height=150,
            )  # fmt: skip
            text = gradio.Textbox(
                label="What is looked for", placeholder="a dog on a beach", max_length=MOST_LETTERS,
                elem_id="search-text",
            )  # fmt: skip
            choice = model_choice("search", models)
            pressed = gradio.Button("Search", variant="primary", elem_id="search-button")
        with gradio.Column(elem_classes="answered"):
            result = gradio.HTML(elem_id="search-result", apply_default_css=False)
    shared: dict[str, Any] = {"concurrency_id": "model", "show_progress": "minimal"}
    text.submit(respond, [uploads, text, *choice], result, api_name=False, **shared)
    pressed.click(respond, [uploads, text, *choice], result, api_name="search", **shared)


def first(embedder: Embedder, sample: Path) -> str:
    """The first answer of a fresh model."""
    return found(embedder, None, "a dog", [sample])


TAB = Tab(place=20, title="Search", verb="search", build=build, first=first)
