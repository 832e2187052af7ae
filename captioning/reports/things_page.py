"""The pages about detections and graphs that `captioning evaluate ... report=true` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

from captioning.metrics.detection import Precision
from captioning.reports.line_chart import line_chart
from captioning.reports.page import data_uri, document

CURVES = 3  # classes whose precision is drawn, beside the mean: those with the most things


@dataclass(frozen=True)
class Drawn:
    """A picture with what was found drawn on it, and what is said below."""

    name: str
    picture: Image.Image
    said: str


def detection_page(title: str, precision: Precision, groups: Mapping[str, Sequence[Drawn]]) -> str:
    """Scores, the table of classes, precision by recall, and pictures by heading, as HTML text."""
    chart = precision_chart(precision)
    body = _section("Scores (x100)", _table(["", *precision.corpus()], [("all", list(precision.corpus().values()))]))
    body += _section("Precision by recall", f'<div class="charts"><div class="chart">{chart}</div></div>')
    rows = [
        (name, [precision.ap[i], precision.ap50[i], precision.ap75[i], precision.recall[i]], int(precision.things[i]))
        for i, name in sorted(enumerate(precision.classes), key=lambda one: -precision.ap[one[0]])
    ]
    counted = [(f"{name} ({things:,})", values) for name, values, things in rows]
    body += _section("Classes (x100)", _table(["class (boxes)", "AP", "AP50", "AP75", "AR@100"], counted))
    return document(title, body + _groups(groups))


def graphs_page(title: str, corpus: Mapping[str, float], groups: Mapping[str, Sequence[Drawn]]) -> str:
    """Scores and pictures by heading, as HTML text."""
    table = _table(["", "x100"], [(name, [value]) for name, value in corpus.items()])
    return document(title, _section("Scores (x100)", table) + _groups(groups))


def precision_chart(precision: Precision) -> str:
    """Precision by recall at IoU 0.5, both x100: the mean of all classes, and those with the most boxes."""
    most = sorted(range(len(precision.classes)), key=lambda i: -precision.things[i])[:CURVES]
    curves = {"all": precision.mean_curve(), **{precision.classes[i]: precision.curves[i] for i in most}}
    lines = {name: [(float(r), 100 * float(v)) for r, v in enumerate(curve)][::5] for name, curve in curves.items()}
    return line_chart("Precision", lines, x_label="recall")


def _section(heading: str, body: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{body}</section>" if body else ""


def _table(head: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> str:
    first = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{100 * v:.1f}</td>" for v in values) + "</tr>"
        for name, values in rows
    )
    return f'<div class="scores"><table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table></div>'


def _groups(groups: Mapping[str, Sequence[Drawn]]) -> str:
    return "".join(
        _section(heading, f'<div class="cards">{"".join(map(_card, drawn))}</div>' if drawn else "")
        for heading, drawn in groups.items()
    )


def _card(one: Drawn) -> str:
    shot = data_uri(one.picture, "JPEG", quality=85)
    alt = escape(f"what was found in {one.name}")
    return (
        f'<article class="card"><img src="{shot}" alt="{alt}" style="max-width:100%">'
        f"<p>{escape(one.said)}<br><small>{escape(one.name)}</small></p></article>"
    )
