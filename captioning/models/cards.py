"""Cards of models that were made of other models: what still holds is kept, and no score of another model is."""

from __future__ import annotations

import re

METRIC = re.compile(r"\b(BLEU|METEOR|ROUGE|CIDEr|SPICE|CHAIR|R@\d)", re.ASCII)
FIGURE = re.compile(r"(?<![\w.-])\d+\.\d+(?!\w|[.-]\w)")  # 62.3, and not 0.1.0


def lowered(card: str) -> str:
    """Markdown, its headings one lower."""
    return "".join(f"#{line}" if line.startswith("#") else line for line in card.splitlines(keepends=True))


def without_scores(card: str) -> str:
    """A card without its scores: table rows and paragraphs that give a figure of a metric, and a table of metrics with
    the sentence above it."""
    kept: list[str] = []
    for block in re.split(r"\n\s*\n", card.strip("\n")):
        lines = block.splitlines()
        if lines and lines[0].startswith("|"):
            if METRIC.search(lines[0]):  # a table of metrics
                if kept and "score" in kept[-1].lower() and not kept[-1].startswith(("#", "|")):
                    kept.pop()
                continue
            rows = [line for line in lines if not (METRIC.search(line) and FIGURE.search(line))]
            kept.append("\n".join(rows))
        elif block.startswith("#") or not (METRIC.search(block) and FIGURE.search(block)):
            kept.append(block)
    return "\n\n".join(kept) + "\n"
