"""Frames of a clip in a row, with the times at which they are seen, as HTML that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from PIL import Image

from captioning.reports.page import data_uri
from captioning.reports.subtitles import clock

SIDE = 160  # pixels; a larger frame is made smaller

STYLE = """
.frames { display: grid; gap: .3rem; grid-template-columns: repeat(auto-fit, minmax(min(7rem, 22%), 1fr));
  margin: 0 0 .6rem; }
.frames figure { margin: 0; min-width: 0; max-width: 10rem; }
.frames img { display: block; width: 100%; height: auto; border-radius: .3rem; }
.frames figcaption { opacity: .7; font-size: .7rem; line-height: 1.5; }
"""


def frame_strip(name: str, frames: Sequence[Image.Image], times: Sequence[float]) -> str:
    """`frames` of the clip `name`, and when each is seen, in seconds (empty for a photo). Its class is "frames"."""
    figures = []
    for i, frame in enumerate(frames):
        picture = frame.convert("RGB")
        picture.thumbnail((SIDE, SIDE))
        when = minutes(float(times[i])) if len(times) else ""
        figures.append(
            f'<figure><img src="{data_uri(picture, "JPEG", quality=75)}" width="{picture.width}" '
            f'height="{picture.height}" alt="{escape(f"{name}, frame {i + 1} of {len(frames)}")}">'
            + (f"<figcaption>{when}</figcaption>" if when else "")
            + "</figure>"
        )
    return f'<div class="frames">{"".join(figures)}</div>'


def minutes(seconds: float) -> str:
    """01:02.3"""
    return clock(round(1000 * seconds)).removeprefix("00:")[:-2]
