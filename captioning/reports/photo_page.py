"""One HTML file of photos: those that a search found, or each with its most probable labels as bars.

The file needs nothing beside it and asks the network for nothing: photos are inside it, as small JPEGs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from PIL import Image

from captioning.files.atomic import write_whole
from captioning.reports.page import data_uri, document

SIDE = 240  # pixels; a larger photo is made smaller for the page
BARS = 5  # labels shown of each photo

STYLE = """
.photos { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
.photo { background: var(--card); border: 1px solid var(--rule); border-radius: .7rem; padding: .8rem; margin: 0; 
  min-width: 0; }
.photo img { display: block; max-width: 100%; height: auto; border-radius: .3rem; margin: 0 auto .5rem; }
.photo figcaption { overflow-wrap: anywhere; font-size: .85rem; }
.photo .facts { color: var(--soft); font-size: .8rem; line-height: 1.5; }
.bar { position: relative; margin: .25rem 0; padding: .1rem .4rem; border-radius: .2rem; font-size: .8rem; 
  background: var(--rule); overflow: hidden; }
.bar i { position: absolute; inset: 0 auto 0 0; background: #6b8fb3aa; }
.bar.right i { background: #4c9a5faa; }
.bar span { position: relative; display: flex; justify-content: space-between; gap: .5rem; }
"""


class PhotoPage:
    """A page that grows by one photo at a time and is then written."""

    def __init__(self, title: str):
        self.title = title
        self.cards: list[str] = []

    def add_found(self, name: str, photo: Image.Image, score: float) -> None:
        """A photo that a search found, and its cosine with what was looked for."""
        self.cards.append(_figure(name, photo, f'<div class="facts">{score:.3f}</div>'))

    def add_classified(
        self, name: str, photo: Image.Image, labels: Mapping[str, float], correct: str | None = None
    ) -> None:
        """A photo, its labels with their probabilities, the most probable first, and where the correct one stands."""
        facts = ""
        if correct is not None:
            rank = list(labels).index(correct) + 1
            facts = (
                f'<div class="facts">correct label: {escape(correct)}<br>correct rank: {rank}/{len(labels)}'
                f"<br>correct probability: {100 * labels[correct]:.1f}%</div>"
            )
        self.cards.append(_figure(name, photo, facts + _bars(labels, correct)))

    def add_sentences(self, name: str, photo: Image.Image, lines: Sequence[tuple[str, float, bool]]) -> None:
        """A photo and sentences that are near to it: text, cosine, and whether it is one of its own."""
        items = "".join(
            f'<div class="bar{" right" if own else ""}"><i style="width:{100 * min(1, max(0, score)):.1f}%"></i>'
            f"<span><b>{escape(text)}</b>{score:.2f}</span></div>"
            for text, score, own in lines
        )
        self.cards.append(_figure(name, photo, items))

    def write(self, path: str | Path) -> Path:
        """Writes the page whole. Raises UserError where it cannot be written."""
        return write_whole(path, document(self.title, f'<div class="photos">{"".join(self.cards)}</div>', style=STYLE))


def _figure(name: str, photo: Image.Image, rest: str) -> str:
    small = photo.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    return (
        f'<figure class="photo"><img src="{data_uri(small, "JPEG", quality=80)}" width="{small.width}" '
        f'height="{small.height}" alt="{escape(name)}"><figcaption>{escape(name)}</figcaption>{rest}</figure>'
    )


def _bars(labels: Mapping[str, float], correct: str | None) -> str:
    best: Sequence[tuple[str, float]] = list(labels.items())[:BARS]
    return "".join(
        f'<div class="bar{" right" if label == correct else ""}"><i style="width:{100 * value:.1f}%"></i>'
        f"<span><b>{escape(label)}</b>{100 * value:.1f}%</span></div>"
        for label, value in best
    )
