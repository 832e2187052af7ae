"""One HTML file that shows clips as frames in a row, with the sentences that a model says of them.

The file needs nothing beside it and asks the network for nothing: frames are inside it, as small JPEGs.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from captioning.files.atomic import write_whole
from captioning.reports.frame_strip import STYLE as FRAMES_STYLE
from captioning.reports.frame_strip import frame_strip, minutes
from captioning.reports.page import document
from captioning.reports.subtitles import Cue

FRAMES = 8  # of a clip, evenly over its length

STYLE = """
.clip { background: var(--card); border: 1px solid var(--rule); border-radius: .7rem; padding: .9rem; 
  margin: 0 0 1rem; }
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
        sentences = []
        for cue in said:
            when = f"{minutes(cue.begin)} – {minutes(cue.end)}" if len(said) > 1 else ""
            sentences.append(f'<p class="said">{f"<time>{when}</time> " if when else ""}{escape(cue.text)}</p>')
        self.cards.append(
            f'<article class="clip"><h3>{escape(name)}</h3>{frame_strip(name, frames, times)}'
            f"{''.join(sentences)}</article>"
        )

    def write(self, path: str | Path) -> Path:
        """Writes the page whole or not at all. Raises UserError where it cannot be written."""
        return write_whole(path, document(self.title, "\n".join(self.cards), style=STYLE + FRAMES_STYLE))
