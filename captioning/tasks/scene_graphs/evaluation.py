"""The page about graphs: scores, pictures drawn by lot, and those of whose relations least were found."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from captioning.data.graphs import triples
from captioning.data.source import Source
from captioning.example import Example
from captioning.files.atomic import write_whole
from captioning.metrics.scores import Scores
from captioning.reports.graph_picture import graph_picture
from captioning.reports.things_page import Drawn, graphs_page
from captioning.tasks.recognition.evaluation import SHOWN, SIDE, picture_of
from captioning.tasks.scene_graphs.grapher import shown

LEAST, MOST = 0.3, 6  # score and number of relations that are drawn
TOLD = 8  # true relations that are written below


def write_graphs(
    path: Path,
    examples: Sequence[Example],
    source: Source,
    predictions: Mapping[int | str, Any],
    scores: Scores,
    *,
    title: str,
) -> Path:
    """Writes the page and returns its path."""
    by_lot = random.Random(0).sample(list(examples), min(SHOWN, len(examples)))
    place = {one.id: one for one in examples}
    recall = scores.per_image.get("SGDet R@20", np.zeros(0))
    worst = [place[scores.images[int(i)]] for i in np.argsort(recall, kind="stable")[:SHOWN]]
    groups = {
        heading: [panel(source, one, predictions[one.id]) for one in those]
        for heading, those in (("Drawn by lot", by_lot), ("Least found", worst))
    }
    return write_whole(path, graphs_page(title, scores.corpus, groups))


def panel(source: Source, example: Example, found: Mapping[str, Any]) -> Drawn:
    """A picture with its graph, and what people say of it."""
    graph = shown(found["sgdet"], LEAST, MOST)
    edges = [(e.subject, e.predicate, e.object, e.score) for e in graph.relations]
    told = [" ".join(triple) for triple in triples(example)]
    more = f" and {len(told) - TOLD} more" if len(told) > TOLD else ""
    drawn = graph_picture(picture_of(source, example), graph.objects, edges, width=SIDE)
    return Drawn(str(example.id), drawn, f"There: {'; '.join(told[:TOLD]) or 'no relation'}{more}")
