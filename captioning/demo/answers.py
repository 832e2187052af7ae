"""What the page of `captioning demo` answers: an upload and some choices in, HTML out, whatever was sent."""

from __future__ import annotations

import logging
import os
from html import escape
from typing import Any

from captioning.demo.uploads import checked_upload, for_visitors, photo_in
from captioning.errors import UserError
from captioning.reports.caption_card import card
from captioning.tasks.captioning.captioner import Captioner

log = logging.getLogger("captioning")

METHODS = ("beam search", "greedy", "sampling")
MAX_CAPTIONS = 10
MOST_FORCED = 200  # characters of the words to contain, which the server counts itself
SHOWN = 480  # pixels of a side of the picture on the page


def answer(captioner: Captioner, upload: str | os.PathLike[str] | None, method: Any, count: Any, forced: Any) -> str:
    """The picture and its captions, best first, as HTML; or the sentence that says what is wrong.

    `forced` are words or phrases that the captions have to contain, with commas between them.
    """
    path = None
    try:
        path = checked_upload(upload)
        options = choices(method, count, forced)
        seen = max(getattr(captioner.encoder, "size", None) or 0, SHOWN)
        picture = photo_in(path, size=seen, moving=captioner.encoder.takes == "clip")
        found = captioner.caption(path if picture is None else picture, details=True, **options)
    except UserError as error:
        return refusal(for_visitors(error, path) if path else str(error))
    except Exception:  # a bug: one visitor has no answer, and the others go on
        log.exception("the page could not answer")
        return refusal("Something went wrong here, and has been written down. Try another picture.")
    captions = found if isinstance(found, list) else [found]
    if picture is not None:
        picture.thumbnail((SHOWN, SHOWN))
    return f'<div class="answer">{card(captions, picture)}{hint(captions)}</div>'


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


def refusal(sentence: str) -> str:
    """An error, as the page shows it."""
    sentence = sentence.replace("generation.forced_words holds", "the words to contain hold")
    return f'<p class="refusal" role="alert">{escape(sentence)}</p>'


def hint(captions: list) -> str:
    """What can be done with the answer."""
    if captions and captions[0].attention is not None:
        return '<p class="hint">Point at a word, or click it, to see where the model looked when it said it.</p>'
    return '<p class="hint">This model does not look at parts of a picture, so there is no map to show.</p>'
