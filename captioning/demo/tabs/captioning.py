"""The tab of captions: an upload and some choices in, sentences and where the model looked out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from PIL import Image

from captioning.demo.answers import answer_to, hint
from captioning.demo.tab import Tab
from captioning.errors import UserError
from captioning.generation.beam import beam, diverse_beam
from captioning.generation.consensus import consensus
from captioning.models.published.generating import generate
from captioning.reports.caption_card import card
from captioning.tasks.captioning.captioner import Captioner

METHODS = ("beam search", "greedy", "sampling")
MAX_CAPTIONS = 10
MOST_FORCED = 200  # characters of the words to contain, which the server counts itself
MEANINGS = {  # what a score of beam search is, by its length_normalisation
    "none": "the log-probability of the whole sentence, which longer ones have lower",
    "average": "the mean log-probability of its words",
    "gnmt": "the log-probability of the sentence over a penalty for its length",
}


def answer(captioner: Captioner, upload: str | os.PathLike[str] | None, method: Any, count: Any, forced: Any) -> str:
    """The picture and its captions, best first, as HTML; or the sentence that says what is wrong.

    `forced` are words or phrases that the captions have to contain, with commas between them.
    """

    def make(image: Any, picture: Image.Image | None) -> str:
        options = choices(method, count, forced)
        try:
            found = captioner.caption(image, details=True, **options)
        except UserError as error:
            raise UserError(str(error).replace("generation.forced_words holds", "the words to contain hold")) from None
        captions = found if isinstance(found, list) else [found]
        return card(captions, picture) + hint(remark(captions, picture)) + hint(meaning(captioner, options))

    return answer_to(upload, captioner, make)


def choices(method: Any, count: Any, forced: Any) -> dict[str, Any]:
    """The options of the generation. Raises UserError for what the page does not offer."""
    if method not in METHODS:
        raise UserError(f"There is no such way: choose {', '.join(METHODS)}.")
    if not isinstance(count, (int, float)) or not 1 <= count <= MAX_CAPTIONS:
        raise UserError(f"Ask for 1 to {MAX_CAPTIONS} captions.")
    if forced is not None and not (isinstance(forced, str) and len(forced) <= MOST_FORCED):
        raise UserError(f"The words to contain have at most {MOST_FORCED} letters in all.")
    count, forced = int(count), [word.strip() for word in (forced or "").split(",") if word.strip()]
    if method == "sampling":
        if forced:
            raise UserError("A sample cannot be made to contain a word: choose beam search, or leave the words out.")
        return {"num_samples": count, "temperature": 0.7}
    options: dict[str, Any] = {"forced_words": forced} if forced else {}
    if method == "greedy":
        return {"beam_size": 1, **options}
    return {"num_captions": count, **options}  # with as many beams as the model is used to, or more captions need


def remark(captions: Sequence[Any], picture: Image.Image | None) -> str:
    """What can be done with the answer."""
    if picture is None:
        return "Below are the frames at which the model looked, and when they are seen."
    if captions and captions[0].attention is not None:
        return "Point at a word, or click it, to see where the model looked when it said it."
    return "This model does not look at parts of a picture, so there is no map to show."


def meaning(captioner: Captioner, options: Mapping[str, Any]) -> str:
    """What the score of a caption says, for the search that these options ask for."""
    strategy = captioner.strategy(options)
    if strategy.func is generate:
        return f"The score is {MEANINGS['average']}, or of their parts; nearer to zero is likelier."
    if strategy.func not in (beam, diverse_beam, consensus):
        return f"The score is {MEANINGS['none']}; nearer to zero is likelier."
    divided = {name: one.default for name, one in signature(beam).parameters.items()} | dict(strategy.keywords)
    if strategy.func is consensus:
        return (
            f"The score is {MEANINGS[divided['length_normalisation']]}, plus how much the sentence agrees with what "
            f"people said of photos like this one; higher is better."
        )
    return f"The score is {MEANINGS[divided['length_normalisation']]}; nearer to zero is likelier."


def controls() -> list[Any]:
    """How to search, how many captions, and words that they contain."""
    import gradio

    return [
        gradio.Radio(METHODS, value=METHODS[0], label="How to search", elem_id="caption-method"),
        gradio.Slider(1, MAX_CAPTIONS, value=3, step=1, label="Captions", elem_id="caption-count"),
        gradio.Textbox(
            label="Words to contain", placeholder="frisbee, red ball", max_length=MOST_FORCED, elem_id="caption-forced"
        ),
    ]


def build(models: Mapping[str, Captioner], samples: Sequence[Path]) -> None:
    """What is in the tab."""
    from captioning.demo.layout import photo_tab

    photo_tab("caption", models, samples, answer, button="Caption", controls=controls)


def first(captioner: Captioner, sample: Path) -> str:
    """The first answer of a fresh model."""
    return answer(captioner, sample, "beam search", 1, "")


TAB = Tab(place=0, title="Captions", verb="caption", build=build, first=first)
