"""What any tab of the page answers to an upload: HTML, whatever was sent."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from captioning.demo.uploads import checked_upload, for_visitors, photo_in
from captioning.errors import UserError
from captioning.media.clip import Clip, FrameSampling
from captioning.reports.frame_strip import frame_strip
from captioning.tasks.predictor import Predictor

log = logging.getLogger("captioning")

SHOWN = 480  # pixels of a side of the picture on the page
FRAMES = 8  # of a clip, where its encoder does not say at which it looks
Make = Callable[[Any, "Image.Image | None"], str]


def answer_to(upload: str | os.PathLike[str] | None, model: Predictor, make: Make) -> str:
    """What `make` says of an upload, or the sentence that says what is wrong. Never raises.

    `make(image, picture)` -> HTML. `image` is what the model is to be asked about, a photo decoded in a process with
    limits or the path of a clip; `picture` is a small copy of the photo to show, None of a clip, whose frames are
    put above what `make` says. Its UserError is a refusal, any other error a bug that is written down.
    """
    path = None
    try:
        path = checked_upload(upload)
        encoder = model.encoder
        needed = max(getattr(encoder, "size", None) or 0, SHOWN)
        photo = photo_in(path, size=needed, moving=encoder.takes == "clip")
        if photo is None:
            return f'<div class="answer">{make(path, None)}{frames_of(path, model)}</div>'
        picture = photo.copy()
        picture.thumbnail((SHOWN, SHOWN))
        return f'<div class="answer">{make(photo, picture)}</div>'
    except UserError as error:
        return refusal(for_visitors(error, path) if path else str(error))
    except Exception:  # a bug: one visitor has no answer, and the others go on
        log.exception("the page could not answer")
        return refusal("Something went wrong here, and has been written down. Try another picture.")


def frames_of(path: Path, model: Predictor) -> str:
    """The frames of a clip at which the model looked, with their times, as HTML."""
    sampling = getattr(model.clip_encoder, "sampling", None) or FrameSampling(frames=FRAMES)
    frames, times = Clip.open(path, confined=True).sample(sampling, size=SHOWN)
    return frame_strip(path.name, frames, times)


def refusal(sentence: str) -> str:
    """An error, as the page shows it."""
    return f'<p class="refusal" role="alert">{escape(sentence)}</p>'


def hint(sentence: str) -> str:
    """A remark under an answer."""
    return f'<p class="hint">{escape(sentence)}</p>'
