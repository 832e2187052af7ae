"""The page that `captioning evaluate ... report=true` writes: best and worst captions, and what all are like."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np
from numpy.typing import NDArray

from captioning.metrics.scores import Scores
from captioning.reports.caption_statistics import CaptionStatistics
from captioning.reports.line_chart import line_chart
from captioning.reports.page import Panel, card, document, score_table
from captioning.reports.page_style import SCRIPT

SHOWN = 12  # best, and as many worst, captions by each metric
RANKED_BY = ("CIDEr", "SPICE", "METEOR", "ROUGE-L", "BLEU-4", "BLEU-1")  # the first that there is opens the page

STYLE = """
.tools { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin-bottom: .8rem; }
.tools select, .tools button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--rule);
  border-radius: .4rem; padding: .2rem .6rem; cursor: pointer; }
.item .figures { color: var(--soft); font-size: .8rem; margin: .5rem .2rem 0; font-variant-numeric: tabular-nums; }
.bars { display: grid; grid-template-columns: 2rem 1fr 3.5rem; gap: .15rem .5rem; font-size: .85rem; max-width: 34rem; }
.bars span { text-align: right; } .bars i { background: var(--line-2); border-radius: .2rem; min-width: 1px; }
.facts td, .facts th { text-align: left; white-space: normal; }
"""

SORT = """
const items = [...document.querySelectorAll(".item")], metric = document.querySelector("#metric");
let worst = true;
const sort = () => {
  const value = (item) => Number(item.dataset[metric.value]);
  items.sort((a, b) => (worst ? 1 : -1) * (value(a) - value(b)));
  items.forEach((item) => item.parentNode.append(item));
  document.querySelector("#order").textContent = worst ? "worst first" : "best first";
};
if (metric) {
  metric.onchange = sort;
  document.querySelector("#order").onclick = () => { worst = !worst; sort(); };
  sort();
}
"""


def best_and_worst(scores: Scores) -> list[int | str]:
    """The pictures with the highest and the lowest scores by each metric, each once."""
    found = {}
    for name in ranking(scores):
        order = np.argsort(scores.per_image[name], kind="stable")
        found |= dict.fromkeys([*order[:SHOWN].tolist(), *order[::-1][:SHOWN].tolist()])
    return [scores.images[i] for i in found]


def ranking(scores: Scores) -> list[str]:
    return [name for name in RANKED_BY if name in scores.per_image]


def page(
    title: str,
    scores: Scores,
    panels: Mapping[int | str, Panel],
    statistics: Mapping[str, CaptionStatistics],
    *,
    reliability: NDArray[np.float64] | None = None,
) -> str:
    """The whole page as HTML text, which needs nothing beside it. `reliability` is for `sureness`."""
    corpus = {"all pictures": {name: 100 * value for name, value in scores.corpus.items()}}
    names = ranking(scores)
    place = {image: i for i, image in enumerate(scores.images)}
    items = "".join(
        item(number, one, {name: 100 * float(scores.per_image[name][place[key]]) for name in names})
        for number, (key, one) in enumerate(panels.items(), 1)
    )
    options = "".join(f'<option value="{dataset_key(name)}">{escape(name)}</option>' for name in names)
    tools = (
        f'<div class="tools"><label>Sort by <select id="metric">{options}</select></label>'
        f'<button type="button" id="order">worst first</button><span class="hint">{len(panels):,} of '
        f"{len(scores.images):,} pictures: the best and the worst {SHOWN} by each metric</span></div>"
    )
    body = (
        f'<section><h2>Scores (x100)</h2><div class="scores">{score_table(corpus)}</div></section>'
        f"<section><h2>The captions in numbers</h2>{facts(statistics)}</section>"
        f"{'' if reliability is None else sureness(reliability)}"
        f'<section><h2>Best and worst</h2>{tools}<div class="cards">{items}</div></section>'
    )
    return document(title, body, style=STYLE, script=SCRIPT + SORT)


def sureness(bins: NDArray[np.float64]) -> str:
    """A section on how many captions are right among those as sure: bins of mean confidence, share right, number."""
    points = [(100 * float(sure), 100 * float(right)) for sure, right, _ in bins]
    lines = {"captions": points, "as right as sure": [(0.0, 0.0), (100.0, 100.0)]}
    rows = "".join(f"<tr><td>{sure:.0%}</td><td>{right:.0%}</td><td>{n:,.0f}</td></tr>" for sure, right, n in bins)
    return (
        "<section><h2>How sure, and how right</h2>"
        '<p class="hint">A caption is right here where it names something that is there and nothing that is not, of '
        "COCO's objects, by references and boxes.</p>"
        f"{line_chart('Right among those as sure (%)', lines, x_label='confidence (%)')}"
        '<div class="scores"><table><thead><tr><th>confidence</th><th>right</th><th>captions</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def item(number: int, one: Panel, values: Mapping[str, float]) -> str:
    data = " ".join(f'data-{dataset_key(name)}="{value:.4f}"' for name, value in values.items())
    figures = " · ".join(f"{escape(name)} {value:.1f}" for name, value in values.items())
    return f'<div class="item" {data}>{card(number, one)}<p class="figures">{figures}</p></div>'


def dataset_key(name: str) -> str:
    """A metric's name as an HTML data attribute has it."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def facts(statistics: Mapping[str, CaptionStatistics]) -> str:
    """A table with a column for each set of captions, and the lengths of the first as bars."""

    def share(value: float | None) -> str:
        return "training captions not at hand" if value is None else f"{value:.1%}"

    rows: dict[str, list[str]] = {
        "captions": [f"{one.captions:,}" for one in statistics.values()],
        "words in a caption, on average": [f"{one.mean_length:.1f}" for one in statistics.values()],
        "distinct words": [f"{one.distinct_words:,}" for one in statistics.values()],
        "distinct captions": [share(one.distinct_captions) for one in statistics.values()],
        "novel captions": [share(one.novel) for one in statistics.values()],
        "copied word for word from training": [share(one.copied) for one in statistics.values()],
        "given most often": [
            "; ".join(f"“{text}” ({count:,} times)" for text, count in one.repeated) or "none twice"
            for one in statistics.values()
        ],
    }
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in statistics)
    lines = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for name, cells in rows.items()
    )
    first_name, first = next(iter(statistics.items()))
    table = f"<thead><tr><th></th>{head}</tr></thead><tbody>{lines}</tbody>"
    return (
        f'<div class="scores facts"><table>{table}</table></div>'
        f'<h3>Words in a caption ({escape(first_name)})</h3><div class="bars">{bars(first.lengths)}</div>'
    )


def bars(lengths: Mapping[int, int]) -> str:
    most = max(lengths.values(), default=1)
    return "".join(
        f'<span>{words}</span><i style="width:{100 * count / most:.1f}%"></i><span>{count:,}</span>'
        for words, count in lengths.items()
    )
