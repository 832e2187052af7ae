"""The page that `captioning evaluate ... report=true` writes about answers: worst kinds, confusions, examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from captioning.data.questions import Question
from captioning.metrics.scores import Scores
from captioning.reports.page import Panel, card, document, score_table
from captioning.reports.page_style import SCRIPT

KINDS, CONFUSIONS = 20, 30  # rows of a table


def answers_page(
    title: str,
    scores: Scores,
    questions: Mapping[int | str, Question],
    answers: Mapping[int | str, str],
    worst: Sequence[Panel],
    best: Sequence[Panel],
) -> str:
    """The whole page as HTML text, which needs nothing beside it; `questions` and `answers` are by question id."""
    name, values = next(iter(scores.per_image.items()))
    overall = {key: 100 * value for key, value in scores.corpus.items() if "(" not in key}
    sections = [
        ("Scores (x100)", f'<div class="scores">{score_table({"all questions": overall})}</div>'),
        (f"Kinds of questions, the worst first ({escape(name)})", _kinds(scores.images, values, questions)),
        ("Confusions", _confusions(scores.images, values, questions, answers)),
        ("Worst", _cards(worst, 1)),
        ("Best", _cards(best, 1 + len(worst))),
    ]
    body = "".join(f"<section><h2>{heading}</h2>{part}</section>" for heading, part in sections if part)
    return document(title, body, script=SCRIPT)


def _kinds(ids: Sequence[int | str], values: np.ndarray, questions: Mapping[int | str, Question]) -> str:
    grouped: dict[str, list[float]] = {}
    for key, value in zip(ids, values.tolist(), strict=True):
        kind = questions[key].kind or questions[key].answer_type
        if kind:
            grouped.setdefault(kind, []).append(value)
    frequent = sorted(grouped, key=lambda kind: -len(grouped[kind]))[:KINDS]
    rows = sorted((sum(grouped[kind]) / len(grouped[kind]), len(grouped[kind]), kind) for kind in frequent)
    return _table(("kind", "questions", "x100"), [(kind, f"{n:,}", f"{100 * mean:.1f}") for mean, n, kind in rows])


def _confusions(
    ids: Sequence[int | str],
    values: np.ndarray,
    questions: Mapping[int | str, Question],
    answers: Mapping[int | str, str],
) -> str:
    """The most frequent pairs of what is true and what was said, of questions that earned less than half."""
    wrong = [key for key, value in zip(ids, values.tolist(), strict=True) if value < 0.5]
    counts = Counter((questions[key].answer, answers[key]) for key in wrong)
    rows = [(true, said, f"{n:,}") for (true, said), n in counts.most_common(CONFUSIONS)]
    return _table(("true", "said", "times"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scores"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cards(panels: Sequence[Panel], first: int) -> str:
    drawn = "".join(card(number, panel) for number, panel in enumerate(panels, first))
    return f'<div class="cards">{drawn}</div>' if drawn else ""
