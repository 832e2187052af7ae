"""Recall of graphs is what a plain reading of its definition gives, whatever the graphs are."""

import random
from itertools import groupby

import pytest

from captioning.boxes import box_ious
from captioning.errors import UserError
from captioning.metrics.graph_scores import BEST, Graph, one_a_pair, score_graphs

LABELS, PREDICATES = ("dog", "man", "ball"), ("on", "near", "has")


def random_graph(dice: random.Random, things: int, relations: int) -> Graph:
    """Boxes on a coarse lattice, so that many are equal, touch, or overlap by exactly one half."""
    boxes = []
    for _ in range(things):
        x, y = dice.randrange(4) / 8, dice.randrange(4) / 8
        boxes.append((x, y, x + dice.choice((1, 2, 4)) / 8, y + dice.choice((1, 2, 4)) / 8))
    edges = [
        (dice.randrange(things), dice.choice(PREDICATES), dice.randrange(things))
        for _ in range(relations if things else 0)
    ]
    return Graph(tuple(boxes), tuple(dice.choice(LABELS) for _ in boxes), tuple(edges))


def plainly(truth: Graph, found: Graph, k: int, *, constrained: bool) -> list[bool]:
    """Of each true relation whether one of the k best found ones is it."""
    kept, pairs = [], []
    for edge in found.relations:
        if constrained and (edge[0], edge[2]) in pairs:
            continue
        pairs.append((edge[0], edge[2]))
        kept.append(edge)
    said = []
    for s, p, o in truth.relations:
        hit = False
        for its_s, its_p, its_o in kept[:k]:
            same = p == its_p
            same = same and truth.labels[s] == found.labels[its_s] and truth.labels[o] == found.labels[its_o]
            for mine, other in ((s, its_s), (o, its_o)):
                same = same and float(box_ious([truth.boxes[mine]], [found.boxes[other]])[0, 0]) >= 0.5
            hit = hit or same
        said.append(hit)
    return said


def mean(values):
    values = list(values)
    return sum(values) / len(values)


@pytest.mark.parametrize("seed", range(30))
def test_equal_to_a_plain_reimplementation_on_random_graphs(seed):
    dice = random.Random(seed)
    truth = {i: random_graph(dice, dice.randint(0, 5), dice.choice((0, 1, 8, 30))) for i in range(6)}
    truth[6] = random_graph(dice, 4, 5)
    found = {i: random_graph(dice, dice.randint(0, 8), dice.choice((0, 5, 60, 150))) for i in truth}
    known = {("dog", "on", "man"), ("man", "has", "ball"), ("ball", "near", "ball")}
    scores = score_graphs(truth, {"sgdet": found}, known=known, everything=True)
    related = [i for i in truth if truth[i].relations]
    for k in BEST:
        for name, constrained in (("", True), ("ng-", False)):
            hits = {i: plainly(truth[i], found[i], k, constrained=constrained) for i in related}
            assert scores.corpus[f"SGDet {name}R@{k}"] == pytest.approx(mean(mean(hits[i]) for i in related))
            per = []
            for predicate in PREDICATES:
                mine = [
                    [h for h, (_, p, _) in zip(hits[i], truth[i].relations, strict=True) if p == predicate]
                    for i in related
                ]
                per += [mean(mean(m) for m in mine if m)] if any(mine) else []
            assert scores.corpus[f"SGDet {name}mR@{k}"] == pytest.approx(mean(per))
        hits = {i: plainly(truth[i], found[i], k, constrained=True) for i in related}
        new = [[h for r, h in enumerate(hits[i]) if truth[i].triple(r) not in known] for i in related]
        wanted = mean(mean(each) for each in new if each) if any(new) else None
        assert scores.corpus.get(f"SGDet zR@{k}") == (None if wanted is None else pytest.approx(wanted))
    assert scores.images == tuple(related)


@pytest.mark.parametrize("seed", range(10))
def test_more_relations_never_find_less(seed):
    dice = random.Random(seed)
    truth, found = {0: random_graph(dice, 5, 9)}, {0: random_graph(dice, 6, 150)}
    corpus = score_graphs(truth, {"predcls": found}, everything=True).corpus
    for kind in ("R", "mR", "ng-R", "ng-mR"):
        values = [corpus[f"PredCls {kind}@{k}"] for k in BEST]
        assert values == sorted(values)


def test_the_true_graph_is_found_and_an_empty_one_finds_nothing():
    truth = {0: random_graph(random.Random(1), 6, 6)}
    nothing = Graph((), (), ())
    assert score_graphs(truth, {"sgcls": truth}, everything=True).corpus["SGCls ng-R@20"] == 1.0
    assert set(score_graphs(truth, {"sgcls": {0: nothing}}).corpus.values()) == {0.0}


def test_one_relation_of_a_pair_is_the_first():
    dice = random.Random(3)
    graph = random_graph(dice, 4, 60)
    kept = one_a_pair(graph).relations
    ends = [(s, o) for s, _, o in kept]
    assert len(set(ends)) == len(ends) == len({(s, o) for s, _, o in graph.relations})
    for pair, those in groupby(sorted(graph.relations, key=lambda e: (e[0], e[2])), key=lambda e: (e[0], e[2])):
        first = next(e for e in graph.relations if (e[0], e[2]) == pair)
        assert first in kept and len(list(those)) >= 1


def test_a_box_counts_from_exactly_one_half_on():
    truth = Graph(((0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)), ("a", "b"), ((0, "on", 1),))
    half = Graph(((0.0, 0.0, 0.5, 0.25), (0.5, 0.5, 1.0, 1.0)), ("a", "b"), ((0, "on", 1),))
    less = Graph(((0.0, 0.0, 0.5, 0.24), (0.5, 0.5, 1.0, 1.0)), ("a", "b"), ((0, "on", 1),))
    assert score_graphs({0: truth}, {"sgdet": {0: half}}).corpus["SGDet R@20"] == 1.0
    assert score_graphs({0: truth}, {"sgdet": {0: less}}).corpus["SGDet R@20"] == 0.0


@pytest.mark.parametrize(
    ("truth", "found", "said"),
    [
        ({0: Graph((), (), ())}, {"sgdet": {0: Graph((), (), ())}}, "no pictures with relations"),
        ({0: random_graph(random.Random(0), 3, 3)}, {"sgdet": {}}, "1 of 1 pictures have no graph, the first is 0"),
        ({0: random_graph(random.Random(0), 3, 3)}, {"relations": {}}, "no metric 'relations'"),
        ({0: random_graph(random.Random(0), 3, 3)}, {}, "no metric is named"),
    ],
)
def test_what_cannot_be_scored_is_said(truth, found, said):
    with pytest.raises(UserError, match=said):
        score_graphs(truth, found)
