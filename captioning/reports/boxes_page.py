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
PEOPLE = "drawn by people"


@dataclass(frozen=True)
class Guess:
    """The box that a model found, with the probability that it is right, and its IoU with what people drew."""

    box: Box
    overlap: float


@dataclass(frozen=True)
class LocatedPhrase:
    """A phrase on its photo: what each model found, by what the page calls it, and what people drew."""

    name: str  # of the photo
    image: Image.Image
    phrase: str
    kind: str
    found: Mapping[str, Guess]
    wanted: tuple[Corners, ...]  # none where what is meant is not there


@dataclass(frozen=True)
class Group:
    """Phrases that were chosen by a rule, which the page states."""

    heading: str
    rule: str
    phrases: Sequence[LocatedPhrase]


def boxes_page(title: str, scores: Mapping[str, Scores], groups: Sequence[Group]) -> str:
    """The whole page as HTML text, which needs nothing beside it; `scores` by what each model is called."""
    sections = []
    for name, one in scores.items():
        sections.append((f"Scores (x100){f' of {name}' if len(scores) > 1 else ''}", by_kind(one.corpus)))
    if len(scores) == 2:
        sections.append(("Who is right", agreement(scores)))
    for group in groups:
        if group.phrases:
            sections.append((group.heading, f'<p class="hint">{escape(group.rule)}</p>{_cards(group.phrases)}'))
    body = "".join(f"<section><h2>{escape(heading)}</h2>{part}</section>" for heading, part in sections)
    return document(title, body)


def by_kind(corpus: Mapping[str, float]) -> str:
    """A row for all phrases and for each kind, a column a metric."""
    columns = [name for name in corpus if "(" not in name]
    kinds = dict.fromkeys(name[name.index("(") + 1 : -1] for name in corpus if "(" in name)
    rows = [("all", [corpus.get(name) for name in columns])]
    rows += [(kind, [corpus.get(f"{name} ({kind})") for name in columns]) for kind in kinds]
    return _table(
        ("phrases", *columns),
        [(name, *("–" if value is None else f"{100 * value:.1f}" for value in values)) for name, values in rows],
    )


def agreement(scores: Mapping[str, Scores]) -> str:
    """How many phrases both models, one of them and neither put in the right place."""
    (one, ours), (other, theirs) = ((name, each.per_image["acc@0.5"] > 0) for name, each in scores.items())
    counts = {
        "both": ours & theirs,
        f"{one} alone": ours & ~theirs,
        f"{other} alone": ~ours & theirs,
        "neither": ~ours & ~theirs,
    }
    return _table(
        ("right", "phrases", "x100"), [(k, f"{int(v.sum()):,}", f"{100 * v.mean():.1f}") for k, v in counts.items()]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for name, *cells in rows
    )
    return f'<div class="scores"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cards(phrases: Sequence[LocatedPhrase]) -> str:
    return f'<div class="cards">{"".join(map(_card, phrases))}</div>'


def _card(one: LocatedPhrase) -> str:
    boxes = [Box(*corners, PEOPLE) for corners in one.wanted]
    boxes += [Box(*guess.box.corners, name, guess.box.score) for name, guess in one.found.items()]
    shot = data_uri(box_picture(one.image, boxes, width=SIDE), "JPEG", quality=85)
    lines = [", ".join(filter(None, (one.kind, "" if one.wanted else "not there")))]
    for name, guess in one.found.items():
        told = [f"IoU {guess.overlap:.2f}"] if one.wanted else []
        told.append(f"probability {guess.box.score:.2f}")
        lines.append(", ".join([*([name] if len(one.found) > 1 else []), *told]))
    said = "<br>".join(escape(line) for line in lines if line)
    return (
        f'<article class="card"><h3>{escape(one.phrase)}</h3>'
        f'<img src="{shot}" alt="{escape(f"{one.phrase}, on {one.name}")}" style="max-width:100%">'
        f"<p>{said}<br><small>{escape(one.name)}</small></p></article>"
    )
