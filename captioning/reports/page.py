"""One HTML file that shows what a model says and why: pictures, captions, attention, scores and curves.

The file needs nothing beside it and asks the network for nothing: pictures are inside it.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from captioning.files.atomic import write_whole
from captioning.reports.attention_map import heat_layer, heat_map
from captioning.reports.line_chart import COLOURS, HEIGHT, SHOWN, WIDTH, Point, charts
from captioning.reports.page_style import CHART_STYLE, SCRIPT, STYLE

PHOTO_SIDE = 640  # pixels; a larger photo is made smaller for the page
HEAT_SIDE = 48  # pixels; the browser smooths a layer this small to the size of the photo


@dataclass(frozen=True)
class Panel:
    """One example on the page.

    `captions` are by strategy. `words` and `attention` (T, N) belong to the first of them; the N tokens are the cells
    of `grid` (rows, columns), by default a square, or the `boxes` (N, 4) x1 y1 x2 y2 in [0, 1]. A decoder that does
    not attend leaves `attention` None.
    """

    image: Image.Image
    captions: Mapping[str, str]
    references: Sequence[str] = ()
    words: Sequence[str] = ()
    attention: np.ndarray | None = field(default=None, repr=False)
    grid: tuple[int, int] | None = None
    boxes: np.ndarray | None = None
    name: str = ""


def write_page(
    path: str | Path,
    *,
    title: str,
    examples: Sequence[Panel],
    scores: Mapping[str, Mapping[str, float]],
    curves: Mapping[str, Sequence[Point]],
) -> Path:
    """Writes the page and returns its path. A crash leaves the former page or none, never half of one.

    `scores` maps strategy -> metric -> value; `curves` maps the name a figure was logged under ("val/CIDEr") to its
    points (epoch, value). A part is left out where it is empty. Raises UserError where the file cannot be written.
    """
    return write_whole(path, page(title=title, examples=examples, scores=scores, curves=curves))


def page(
    *,
    title: str,
    examples: Sequence[Panel],
    scores: Mapping[str, Mapping[str, float]],
    curves: Mapping[str, Sequence[Point]],
) -> str:
    """The whole page as HTML text; the arguments are those of `write_page`."""
    drawn = "".join(f'<div class="chart">{chart}</div>' for chart in charts(curves))
    sections = [
        _section("Scores", f'<div class="scores">{score_table(scores)}</div>' if scores else ""),
        _section("Training", f'<div class="charts">{drawn}</div>' if drawn else ""),
        _section("Examples", _cards(examples)),
    ]
    return document(title, "".join(sections), script=SCRIPT)


def document(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole HTML page in the look of the report; `style` is added to it."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head>\n"
        f"<body><header><h1>{escape(title)}</h1></header>\n<main>{body}</main>\n"
        + (f"<script>{script}</script>" if script else "")
        + "</body></html>\n"
    )


def curves_svg(curves: Mapping[str, Sequence[Point]], scores: Sequence[str] = SHOWN) -> str:
    """The text of an SVG file with the charts of a run, one above the other; `curves` as for `write_page`."""
    drawn = charts(curves, scores)
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    placed = [chart.replace("<svg ", f'<svg y="{i * HEIGHT}" {size} ', 1) for i, chart in enumerate(drawn)]
    height = max(1, len(drawn)) * HEIGHT
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f'<style>{CHART_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>{"".join(placed)}</svg>\n'
    )
    # Viewers other than browsers know no CSS variables.
    for number, colour in enumerate(COLOURS, 1):
        text = text.replace(f"var(--line-{number})", colour)
    return text


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{heading}</h2>{body}</section>\n" if body else ""


def score_table(scores: Mapping[str, Mapping[str, float]]) -> str:
    """A row for each strategy, a column for each metric, the best of a column marked."""
    metrics = list(dict.fromkeys(metric for row in scores.values() for metric in row))
    columns = {metric: _column([row.get(metric, math.nan) for row in scores.values()]) for metric in metrics}
    head = "".join(f'<th scope="col">{escape(metric)}</th>' for metric in metrics)
    rows = "".join(
        f'<tr><th scope="row">{escape(strategy)}</th>{"".join(columns[metric][i] for metric in metrics)}</tr>'
        for i, strategy in enumerate(scores)
    )
    return f'<table><thead><tr><th scope="col">Strategy</th>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _column(values: Sequence[float]) -> list[str]:
    """One metric's cells: one decimal for percentages, three for numbers about 1."""
    known = [value for value in values if math.isfinite(value)]
    best = max(known, default=math.nan)
    decimals = 3 if best <= 2 else 1
    cells = []
    for value in values:
        text = f"{value:.{decimals}f}" if math.isfinite(value) else "–"
        cells.append(f"<td><strong>{text}</strong></td>" if value == best and len(known) > 1 else f"<td>{text}</td>")
    return cells


def _cards(examples: Sequence[Panel]) -> str:
    if not examples:
        return ""
    hint = ""
    if any(example.attention is not None for example in examples):
        hint = '<p class="hint">Point at a word, or tap it, to see where the model looked when it said it.</p>'
    return f'{hint}<div class="cards">{"".join(card(i, panel) for i, panel in enumerate(examples, 1))}</div>'


def card(number: int, panel: Panel) -> str:
    photo = panel.image.convert("RGB")
    photo.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    shot = data_uri(photo, "JPEG", quality=88)
    said = next(iter(panel.captions.values()), "no caption")
    captions = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in panel.captions.items())
    references = "".join(f"<li>{escape(text)}</li>" for text in panel.references)
    return (
        f'<article class="card" style="--shot:url({shot})"><h3>{escape(panel.name or f"Example {number}")}</h3>'
        f'<div class="photo"><img src="{shot}" width="{photo.width}" height="{photo.height}" '
        f'alt="{escape(f"Picture {number}, captioned: {said}")}">'
        f'<img class="heat" hidden alt=""></div>'
        f"<dl>{captions}</dl>{_attention(panel, photo.size)}"
        + (f'<p class="references-title">References</p><ul class="references">{references}</ul>' if references else "")
        + "</article>"
    )


def _attention(panel: Panel, size: tuple[int, int]) -> str:
    """The words as buttons and a tile for each, which shows the photo under the word's heat map."""
    if panel.attention is None or not len(panel.words):
        return ""
    if len(panel.attention) != len(panel.words):
        raise ValueError(f"{len(panel.words)} words, but attention for {len(panel.attention)}")
    buttons, tiles = [], []
    for word, weights in zip(panel.words, panel.attention, strict=True):
        heat = heat_map(weights, (HEAT_SIDE, HEAT_SIDE), grid=panel.grid, boxes=panel.boxes)
        alt = escape(f"Where the model looked for “{word}”")
        buttons.append(f'<button type="button" aria-pressed="false">{escape(word)}</button>')
        tiles.append(
            f'<figure><div class="tile" style="aspect-ratio:{size[0]}/{size[1]}">'
            f'<img src="{data_uri(heat_layer(heat), "PNG", optimize=True)}" alt="{alt}"></div>'
            f"<figcaption>{escape(word)}</figcaption></figure>"
        )
    return f'<div class="words">{"".join(buttons)}</div><div class="strip">{"".join(tiles)}</div>'


def data_uri(image: Image.Image, kind: str, **options) -> str:
    """The picture as a URL that holds it."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
