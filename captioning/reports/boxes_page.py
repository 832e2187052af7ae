"""The page that `captioning evaluate ... report=true` writes about boxes: scores by kind, phrases on their photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from captioning.boxes import Box, Corners
from captioning.metrics.scores import Scores
from captioning.reports.page import data_uri, document
from captioning.reports.region_picture import box_picture

SIDE = 360  # pixels of a picture's longer side


@dataclass(frozen=True)
class LocatedPhrase:
    """A phrase on its photo: the box that was found, with its probability, and those that people drew."""

    name: str  # of the photo
    image: Image.Image
    phrase: str
    kind: str
    found: Box
    wanted: tuple[Corners, ...]  # none where what is meant is not there
    overlap: float  # IoU


def boxes_page(title: str, scores: Scores, groups: Mapping[str, Sequence[LocatedPhrase]]) -> str:
    """The whole page as HTML text, which needs nothing beside it; `groups` of phrases by their headings."""
    sections = [("Scores (x100)", by_kind(scores.corpus))]
    sections += [(heading, _cards(phrases)) for heading, phrases in groups.items()]
    body = "".join(f"<section><h2>{escape(heading)}</h2>{part}</section>" for heading, part in sections if part)
    return document(title, body)


def by_kind(corpus: Mapping[str, float]) -> str:
    """A row for all phrases and for each kind, a column a metric."""
    columns = [name for name in corpus if "(" not in name]
    kinds = dict.fromkeys(name[name.index("(") + 1 : -1] for name in corpus if "(" in name)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    rows = [("all", [corpus.get(name) for name in columns])]
    rows += [(kind, [corpus.get(f"{name} ({kind})") for name in columns]) for kind in kinds]
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{100 * value:.1f}</td>" if value is not None else "<td>–</td>" for value in values)
        + "</tr>"
        for name, values in rows
    )
    return (
        f'<div class="scores"><table><thead><tr><th scope="col">phrases</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cards(phrases: Sequence[LocatedPhrase]) -> str:
    return f'<div class="cards">{"".join(map(_card, phrases))}</div>' if phrases else ""


def _card(one: LocatedPhrase) -> str:
    wanted = [Box(*corners, "drawn by people") for corners in one.wanted]
    found = Box(*one.found.corners, "found", one.found.score)
    shot = data_uri(box_picture(one.image, [*wanted, found], width=SIDE), "JPEG", quality=85)
    said = f"IoU {one.overlap:.2f}" if one.wanted else "not there"
    about = ", ".join(filter(None, (one.kind, said, f"probability {one.found.score:.2f}")))
    return (
        f'<article class="card"><h3>{escape(one.phrase)}</h3>'
        f'<img src="{shot}" alt="{escape(f"{one.phrase}, on {one.name}")}" style="max-width:100%">'
        f"<p>{escape(about)}<br><small>{escape(one.name)}</small></p></article>"
    )
