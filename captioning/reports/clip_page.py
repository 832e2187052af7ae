"""One HTML file that shows clips as frames in a row, with the sentences that a model says of them.

The file needs nothing beside it and asks the network for nothing: frames are inside it, as small JPEGs.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from captioning.files.atomic import write_whole
from captioning.reports.page import data_uri, document
from captioning.reports.subtitles import Cue, clock

FRAMES = 8  # of a clip, evenly over its length
SIDE = 160  # pixels; a larger frame is made smaller for the page

STYLE = """
.clip { background: var(--card); border: 1px solid var(--rule); border-radius: .7rem; padding: .9rem; 
  margin: 0 0 1rem; }
.frames { display: grid; gap: .3rem; grid-template-columns: repeat(auto-fit, minmax(min(7rem, 22%), 1fr));
  margin: 0 0 .6rem; }
.frames figure { margin: 0; min-width: 0; max-width: 10rem; }
.frames img { display: block; width: 100%; height: auto; border-radius: .3rem; }
.frames figcaption { color: var(--soft); font-size: .7rem; line-height: 1.5; }
.said { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.said time { color: var(--soft); font-weight: 400; font-size: .8rem; font-variant-numeric: tabular-nums; }
"""


class ClipPage:
    """A page that grows by one clip at a time and is then written."""

    def __init__(self, title: str):
        self.title = title
        self.cards: list[str] = []

    def add(self, name: str, frames: Sequence[Image.Image], times: Sequence[float], said: Sequence[Cue]) -> None:
        """One clip: its frames, when they are shown (empty for a photo), and its sentences.

        A single sentence stands for the whole clip; of several the times are shown.
        """
        figures = []
        for i, frame in enumerate(frames):
            picture = frame.convert("RGB")
            picture.thumbnail((SIDE, SIDE))
            when = _minutes(float(times[i])) if len(times) else ""
            figures.append(
                f'<figure><img src="{data_uri(picture, "JPEG", quality=75)}" width="{picture.width}" '
                f'height="{picture.height}" alt="{escape(f"{name}, frame {i + 1} of {len(frames)}")}">'
                + (f"<figcaption>{when}</figcaption>" if when else "")
                + "</figure>"
            )
        sentences = []
        for cue in said:
            when = f"{_minutes(cue.begin)} – {_minutes(cue.end)}" if len(said) > 1 else ""
            sentences.append(f'<p class="said">{f"<time>{when}</time> " if when else ""}{escape(cue.text)}</p>')
        self.cards.append(
            f'<article class="clip"><h3>{escape(name)}</h3><div class="frames">{"".join(figures)}</div>'
            f"{''.join(sentences)}</article>"
        )

    def write(self, path: str | Path) -> Path:
        """Writes the page whole or not at all. Raises UserError where it cannot be written."""
        return write_whole(path, document(self.title, "\n".join(self.cards), style=STYLE))


def _minutes(seconds: float) -> str:
    """01:02.3"""
    return clock(round(1000 * seconds)).removeprefix("00:")[:-2]
