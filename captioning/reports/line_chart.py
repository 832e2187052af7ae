"""Curves as SVG text: axes, gridlines, a legend, and nothing to install."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Point = tuple[float, float]

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 40, 40  # pixels round the plot
COLOURS = ("#c2560c", "#1f6fb2", "#2c8a57", "#8a4fb0")  # a page may set others as --line-1 to --line-4
SHOWN = ("CIDEr", "BLEU-4")  # where nobody says
TITLES = {"loss": "Loss"}


def charts(curves: Mapping[str, Sequence[Point]], scores: Sequence[str] = SHOWN) -> list[str]:
    """The charts of a run: its loss and the named scores, as far as they were logged, each with a line for each split.

    `curves` has (epoch, value) points by the name they were logged under: "train/loss", "val/loss", "val/CIDEr".
    """
    lines: dict[str, dict[str, Sequence[Point]]] = {figure: {} for figure in ("loss", *scores)}
    for name, points in curves.items():
        split, _, figure = name.rpartition("/")
        if figure in lines:
            lines[figure][split or figure] = points
    splits = list(dict.fromkeys(split for of_figure in lines.values() for split in of_figure))
    drawn = (line_chart(TITLES.get(figure, figure), split, order=splits) for figure, split in lines.items())
    return [chart for chart in drawn if chart]


def line_chart(
    title: str, lines: Mapping[str, Sequence[Point]], *, order: Sequence[str] = (), x_label: str = "epoch"
) -> str:
    """One SVG element with a line for each name, "" where there is nothing to draw.

    Points (x, y) that are not finite are left out. Charts with the same `order` of names give a name the same colour.
    Colours are the CSS variables --line-1 ... and those the page gives the classes chart-title, tick and rule, so that
    the chart follows the page's theme.
    """
    finite = {name: [point for point in points if all(map(math.isfinite, point))] for name, points in lines.items()}
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return ""
    colours = {name: f"var(--line-{i % len(COLOURS) + 1})" for i, name in enumerate(dict.fromkeys([*order, *finite]))}
    xs = [x for points in finite.values() for x, _ in points]
    ys = [y for points in finite.values() for _, y in points]
    x_ticks, y_ticks = ticks(min(xs), max(xs), whole=True), ticks(min(ys), max(ys))
    across = _scale(x_ticks[0], x_ticks[-1], LEFT, WIDTH - RIGHT)
    down = _scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [_axes(x_ticks, y_ticks, across, down, x_label), _legend({name: colours[name] for name in finite})]
    for name, points in finite.items():
        parts.append(_line(name, [(across(x), down(y)) for x, y in points], points, colours[name]))
    spoken = "; ".join(f"{name} from {_short(p[0][1])} to {_short(p[-1][1])}" for name, p in finite.items())
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title} by {x_label}: {spoken}")}">'
        f'<text class="chart-title" x="{LEFT}" y="16">{escape(title)}</text>{"".join(parts)}</svg>'
    )


def ticks(low: float, high: float, *, whole: bool = False, about: int = 5) -> list[float]:
    """Round numbers in even steps of 1, 2 or 5 times a power of ten that enclose [low, high]."""
    size = max(abs(low), abs(high))
    # The labels have four digits: closer values are drawn as equal.
    span = high - low if high - low > 1e-3 * size else size or 1.0
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * about >= span * 0.999)
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def _scale(low: float, high: float, start: float, end: float):
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _axes(x_ticks, y_ticks, across, down, x_label: str) -> str:
    parts = []
    for value in y_ticks:
        y = f"{down(value):.1f}"
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{y}" dy="4" text-anchor="end">{_short(value)}</text>')
    for value in x_ticks:
        x = f"{across(value):.1f}"
        y = HEIGHT - BOTTOM + 17
        parts.append(f'<text class="tick" x="{x}" y="{y}" text-anchor="middle">{_short(value)}</text>')
    x, y = (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5
    parts.append(f'<text class="tick" x="{x}" y="{y}" text-anchor="middle">{escape(x_label)}</text>')
    return "".join(parts)


def _legend(colours: Mapping[str, str]) -> str:
    """The names in the upper right corner, from right to left."""
    parts, right = [], float(WIDTH - RIGHT)
    for name, colour in reversed(colours.items()):
        start = right - 7.2 * len(name)
        parts.append(f'<text class="tick" x="{start:.1f}" y="16">{escape(name)}</text>')
        parts.append(f'<rect x="{start - 17:.1f}" y="10" width="12" height="4" rx="2" fill="{colour}"/>')
        right = start - 32
    return "".join(parts)


def _line(name: str, places: list[Point], points: Sequence[Point], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}">'
        f"<title>{escape(name)}, {_short(at)}: {_short(value)}</title></circle>"
        for (x, y), (at, value) in zip(places, points, strict=True)
    )
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def _short(value: float) -> str:
    """At most four digits: 0.0125, 3.142, 120."""
    return f"{value:.4g}"
