"""How well scene graphs are found: recall of triples among the best K, its mean over predicates, and of unseen ones.

As scene-graph generation is compared since Xu et al. 2017 (arXiv:1701.02426) and Zellers et al. 2018
(arXiv:1711.06640); mean recall since Chen et al. and Tang et al. 2019. Imports no torch. Boxes are corners in [0, 1].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from captioning.boxes import Corners, box_ious
from captioning.errors import UserError
from captioning.metrics.bootstrap import mean_of
from captioning.metrics.scores import Scores

OVERLAP = 0.5  # least IoU of a box that is right
BEST = (20, 50, 100)  # K
METRICS = {  # what a user may ask for -> how it is called in the table
    "predcls": "PredCls",  # boxes and labels are given
    "sgcls": "SGCls",  # boxes are given
    "sgdet": "SGDet",  # nothing is
}
Triple = tuple[str, str, str]


@dataclass(frozen=True)
class Graph:
    """The nodes of a picture and its edges (subject, predicate, object), by number of node, best first."""

    boxes: tuple[Corners, ...]
    labels: tuple[str, ...]
    relations: tuple[tuple[int, str, int], ...]

    def triple(self, index: int) -> Triple:
        s, predicate, o = self.relations[index]
        return self.labels[s], predicate, self.labels[o]


def one_a_pair(graph: Graph) -> Graph:
    """The graph with the first, and thus the best, relation of each ordered pair: "with graph constraint"."""
    seen: set[tuple[int, int]] = set()
    kept = []
    for s, predicate, o in graph.relations:
        if (s, o) not in seen:
            seen.add((s, o))
            kept.append((s, predicate, o))
    return Graph(graph.boxes, graph.labels, tuple(kept))


def first_match(truth: Graph, found: Graph, most: int = BEST[-1]) -> NDArray[np.int64]:
    """Of each true relation the rank, from 0, of the first found one that is it; `most` where none of so many is.

    A found relation is a true one where predicate and both labels are equal and both boxes overlap by at least
    OVERLAP. One may be several true ones, and several may be the same one: neither counts twice.
    """
    ranks = np.full(len(truth.relations), most, np.int64)
    if not truth.relations or not found.relations:
        return ranks
    overlaps = box_ious(truth.boxes, found.boxes) >= OVERLAP
    places = defaultdict(list)
    for rank in range(min(most, len(found.relations))):
        places[found.triple(rank)].append(rank)
    for index, (s, _, o) in enumerate(truth.relations):
        for rank in places.get(truth.triple(index), ()):
            its, _, others = found.relations[rank]
            if overlaps[s, its] and overlaps[o, others]:
                ranks[index] = rank
                break
    return ranks


def score_graphs(
    truth: Mapping[int | str, Graph],
    found: Mapping[str, Mapping[int | str, Graph]],
    *,
    known: Set[Triple] | None = None,
    everything: bool = False,
) -> Scores:
    """R@K and mR@K of pictures by id, for each of METRICS that `found` has graphs for.

    R@K is the share of a picture's true relations among the best K, a mean over pictures that have any. mR@K is the
    same mean for every predicate alone, over the pictures with that predicate, and then the mean over predicates. With
    `everything` also both without graph constraint ("ng"), when a pair may have several relations, and zR@K of triples
    that are not among the `known` ones of training. Raises UserError where nothing can be scored.
    """
    unknown = [name for name in found if name not in METRICS]
    if unknown or not found:
        wrong = f"there is no metric {unknown[0]!r} of graphs" if unknown else "no metric is named"
        raise UserError(f"{wrong}. Choose from {', '.join(METRICS)}.")
    related = [key for key, graph in truth.items() if graph.relations]
    if not related:
        raise UserError("there are no pictures with relations: nothing can be scored")
    corpus: dict[str, float] = {}
    values: dict[str, NDArray[np.float64]] = {}
    for metric, graphs in found.items():
        missing = [key for key in truth if key not in graphs]
        if missing:
            raise UserError(f"{len(missing):,} of {len(truth):,} pictures have no graph, the first is {missing[0]}.")
        name = METRICS[metric]
        bound = {key: first_match(truth[key], one_a_pair(graphs[key])) for key in related}
        for k in BEST:
            values[f"{name} R@{k}"] = np.array([(bound[key] < k).mean() for key in related])
            corpus[f"{name} R@{k}"] = float(values[f"{name} R@{k}"].mean())
        corpus |= _mean_recall(truth, bound, f"{name} mR@")
        if everything:
            free = {key: first_match(truth[key], graphs[key]) for key in related}
            corpus |= {f"{name} ng-R@{k}": float(np.mean([(free[key] < k).mean() for key in related])) for k in BEST}
            corpus |= _mean_recall(truth, free, f"{name} ng-mR@")
            if known is not None:
                corpus |= _unseen_recall(truth, bound, known, f"{name} zR@")
    return Scores(tuple(related), corpus, values, {name: mean_of(part) for name, part in values.items()})


def _mean_recall(truth: Mapping, ranks: Mapping[int | str, NDArray[np.int64]], name: str) -> dict[str, float]:
    shares: dict[str, list[list[float]]] = defaultdict(list)
    for key, those in ranks.items():
        predicates = np.array([predicate for _, predicate, _ in truth[key].relations])
        for predicate in np.unique(predicates):
            mine = those[predicates == predicate]
            shares[str(predicate)].append([float((mine < k).mean()) for k in BEST])
    means = np.mean([np.mean(each, 0) for each in shares.values()], 0)
    return {f"{name}{k}": float(value) for k, value in zip(BEST, means, strict=True)}


def _unseen_recall(
    truth: Mapping, ranks: Mapping[int | str, NDArray[np.int64]], known: Set[Triple], name: str
) -> dict[str, float]:
    """{} where every true triple is known."""
    shares = []
    for key, those in ranks.items():
        new = np.array([truth[key].triple(i) not in known for i in range(len(those))], bool)
        if new.any():
            shares.append([float((those[new] < k).mean()) for k in BEST])
    return {f"{name}{k}": float(value) for k, value in zip(BEST, np.mean(shares, 0), strict=True)} if shares else {}
