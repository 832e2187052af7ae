"""Scene graphs: a picture in, its things and what they are to each other out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captioning.boxes import Box
from captioning.data.graphs import triples, vocabulary
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.heads.detection import Detected, SetDetection, detection_losses, found_things
from captioning.heads.relations import PARTS, RelationHead, frequency_prior, weigh_relations
from captioning.memory import VisualMemory
from captioning.metrics.detection import average_precision
from captioning.metrics.graph_scores import METRICS, Graph, score_graphs
from captioning.metrics.scores import Scores
from captioning.tasks.base import Build, Parts, Task
from captioning.tasks.recognition.detection import as_box
from captioning.tasks.recognition.things import names_from_json, names_to_json, true_boxes
from captioning.tasks.scene_graphs.objectives import GraphTargets, graph_targets, relation_losses

NAMES, TRIPLES = "names.json", "triples.json"
BEST = 100  # relations of a picture, both of one a pair and of any number
LEAST = 0.01  # probability of a thing below which no relations are looked for
THINGS = 40  # of a picture that are looked at for relations
DETECTION = "detection"


class SceneGraphs(Task):
    """Things are found as a set, their pairs are classified; judged by recall of triples.

    Args:
        detector: configuration of a `SetDetection`, without the sizes that follow from encoder and labels.
        relations: configuration of a `RelationHead`, likewise.
        labels, predicates: the most frequent ones that are learned, None for all; each at least `min_count` times.
        jitter: by how much of their size true boxes are moved where relations are learned.
        weights: what box, label (of a slot), name (of a true box) and relation count in the loss.
    """

    needs = ("boxes",)
    monitor = ("val/SGDet R@20", "max")
    columns = ("PredCls R@20", "SGDet R@20")
    things = "graphs"
    metrics = (*METRICS, DETECTION)
    files = (NAMES, TRIPLES)

    def __init__(
        self,
        *,
        detector: Mapping[str, Any],
        relations: Mapping[str, Any],
        labels: int | None = None,
        predicates: int | None = None,
        min_count: int = 1,
        jitter: float = 0.1,
        weights: Mapping[str, float] | None = None,
    ):
        super().__init__()
        if min_count < 1 or (labels is not None and labels < 1) or (predicates is not None and predicates < 1):
            raise UserError("task.min_count, task.labels and task.predicates are 1 or more; the last two may be null")
        if not 0 <= jitter < 0.5:
            raise UserError(f"task.jitter={jitter}: it is a share of a box, from 0 to below 0.5")
        self.parts = {"detector": dict(detector), "relations": dict(relations)}
        self.most, self.min_count, self.jitter = (labels, predicates), min_count, jitter
        self.weights = {"box": 1.0, "label": 1.0, "name": 1.0, "relation": 1.0}
        if unknown := [name for name in weights or {} if name not in self.weights]:
            raise UserError(f"task.weights.{unknown[0]}: they are {', '.join(self.weights)}")
        self.weights |= dict(weights or {})
        self.labels: tuple[str, ...] = ()
        self.predicates: tuple[str, ...] = ()
        self.known: frozenset[tuple[str, str, str]] = frozenset()

    def fit(self, examples: Sequence[Example]) -> None:
        said = [triple for one in examples for triple in triples(one)]
        if not said:
            raise UserError("no training picture has a relation: take a source with graphs, such as data=scene_graphs")
        count = self.min_count
        self.labels = vocabulary((x for one in examples for x in one.labels), min_count=count, most=self.most[0])
        self.predicates = vocabulary((p for _, p, _ in said), min_count=count, most=self.most[1])
        if not self.labels or not self.predicates:
            raise UserError(f"task.min_count={count}: no label or no predicate is there so often")
        self.known = frozenset(said)

    def build(self, encoder: Encoder, instantiate: Build) -> None:
        sizes = {"visual_width": encoder.width, "labels": len(self.labels)}
        self.detector: SetDetection = instantiate(self.parts["detector"], kind=SetDetection, **sizes)
        self.relations: RelationHead = instantiate(
            self.parts["relations"], kind=RelationHead, **sizes, predicates=len(self.predicates)
        )

    def begin(self, examples: Sequence[Example]) -> None:
        """The frequency prior, where it is one of the parts."""
        if "prior" not in getattr(self.relations, "parts", PARTS):
            return
        prior = prior_of(examples, self.numbers(self.labels), self.numbers(self.predicates))
        self.relations.prior.copy_(prior)

    @staticmethod
    def numbers(names: Sequence[str]) -> dict[str, int]:
        return {name: i for i, name in enumerate(names)}

    def targets(self, examples: Sequence[Example], epoch: int) -> GraphTargets:
        return graph_targets(examples, self.numbers(self.labels), self.numbers(self.predicates))

    def loss(self, memory: VisualMemory, targets: GraphTargets, ids: Sequence[int | str]) -> tuple[Tensor, Parts]:
        parts = detection_losses(self.detector(memory), targets.things)
        parts |= relation_losses(self.relations, memory, targets, jitter=self.jitter)
        loss = sum(self.weights[name] * part for name, part in parts.items())
        return loss, {"loss": loss, **{name: part.detach() for name, part in parts.items()}}

    def detect(self, memory: VisualMemory) -> Detected:
        """What the slots say of each image."""
        return self.detector(memory)

    @torch.no_grad()
    def predict(self, memory: VisualMemory, targets: GraphTargets | None) -> list[dict[str, Any]]:
        """Of each image its graph by "sgdet", and where boxes are given also by "sgcls" and "predcls"."""
        made = [{"sgdet": graph} for graph in self.found_graphs(memory)]
        if targets is None or not targets.things.real.any():
            return made
        things = targets.things
        for one, sgcls, predcls in zip(
            made,
            self.graphs_of(memory, things.boxes.float(), things.real, None),
            self.graphs_of(memory, things.boxes.float(), things.real, things.labels),
            strict=True,
        ):
            one |= {"sgcls": sgcls, "predcls": predcls}
        return made

    def found_graphs(self, memory: VisualMemory) -> list[dict[str, Any]]:
        """Nothing is given: the things of the detector and their relations."""
        boxes, labels, scores, real = found_things(self.detect(memory), least=LEAST, most=THINGS)
        return self.graphs_of(memory, boxes, real, labels, scores)

    def graphs_of(
        self, memory: VisualMemory, boxes: Tensor, real: Tensor, labels: Tensor | None, scores: Tensor | None = None
    ) -> list[dict[str, Any]]:
        """Graphs on given boxes (B, M, 4), of given labels (B, M), or with -1 and without them of what is seen in them.

        `scores` (B, M) are the probabilities of the labels, 1 where labels are given without.
        """
        labels, scores, index, weighed = weigh_relations(self.relations, memory, boxes, real, labels, scores)
        made = []
        for b in range(len(memory)):
            mine = index[:, 0] == b
            relations = self.best(index[mine, 1:], weighed[mine])
            nodes_of = [
                Box(*boxes[b, m].tolist(), self.labels[int(labels[b, m])], float(scores[b, m])).to_dict()
                for m in range(int(real[b].sum()))
            ]
            made.append({"objects": nodes_of, "relations": relations})
        return made

    def best(self, ends: Tensor, scores: Tensor) -> list[tuple[int, str, int, float]]:
        """The best relations of one image, ends (n, 2) and scores (n, P): those of one a pair and those of any number,
        best first; of equals in the order of pairs and predicates."""
        flat = scores.flatten()
        free = flat.sort(descending=True, stable=True).indices[:BEST]
        top, which = (
            scores.max(1)
            if len(scores)
            else (scores.new_zeros(0), torch.zeros(0, dtype=torch.long, device=ends.device))
        )
        pairs = top.sort(descending=True, stable=True).indices[:BEST]
        chosen = torch.cat([free, pairs * scores.shape[1] + which[pairs]]).unique()  # in the order of pairs
        chosen = chosen[flat[chosen].sort(descending=True, stable=True).indices].tolist()
        predicates = len(self.predicates)
        rows = [(*ends[i // predicates].tolist(), i % predicates, float(flat[i])) for i in chosen]
        return [(s, self.predicates[p], o, score) for s, o, p, score in rows]

    def score(
        self, predictions: Mapping[int | str, Any], examples: Sequence[Example], *, metrics: Sequence[str] = ()
    ) -> Scores:
        """R@K and mR@K of PredCls, SGCls and SGDet; where `metrics` are named also without graph constraint and of
        unseen triples, and "detection", COCO's average precision of the things."""
        unknown = [name for name in metrics if name not in self.metrics]
        if unknown:
            raise UserError(f"there is no metric {unknown[0]!r} of graphs. Choose from {', '.join(self.metrics)}.")
        asked = [name for name in metrics or METRICS if name in METRICS]
        truth = {one.id: true_graph(one) for one in examples}
        scores = Scores(tuple(truth), {}, {})
        if asked:
            found = {name: {key: as_graph(predictions[key][name]) for key in truth} for name in asked}
            scores = score_graphs(truth, found, known=self.known, everything=bool(metrics))
        if DETECTION in (metrics or ()):
            objects = {key: [as_box(one) for one in predictions[key]["sgdet"]["objects"]] for key in truth}
            precision = average_precision({one.id: true_boxes(one) for one in examples}, objects)
            scores = replace(scores, corpus={**scores.corpus, **precision.corpus()})
        return scores

    def usual_metrics(self, source: Any) -> tuple[str, ...]:
        return self.metrics

    def tally(self, examples: Sequence[Example]) -> str:
        return f"{sum(len(getattr(one, 'relations', ())) for one in examples):,} relations"

    def results(self, predictions: Mapping[int | str, Any]) -> list[dict[str, Any]]:
        """Images with their graphs."""
        return [{"image_id": key, **value} for key, value in predictions.items()]

    def check(self, encoder: Encoder) -> None:
        memory = VisualMemory.blank(encoder.width)
        training = self.training
        self.eval()
        with torch.inference_mode():
            boxes = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]])
            self.graphs_of(memory, boxes, torch.ones(1, 2, dtype=torch.bool), None)
            self.predict(memory, None)
        self.train(training)

    def texts(self) -> dict[str, str]:
        known = json.dumps(sorted(self.known), ensure_ascii=False)
        return {NAMES: names_to_json(labels=self.labels, predicates=self.predicates), TRIPLES: known + "\n"}

    def read_texts(self, texts: Mapping[str, str], where: str) -> None:
        for name in self.files:
            if name not in texts:
                raise UserError(f"{where}/{name} is missing: the model folder is incomplete")
        self.labels, self.predicates = names_from_json(texts[NAMES], f"{where}/{NAMES}", "labels", "predicates")
        try:
            content = json.loads(texts[TRIPLES])
            good = isinstance(content, list) and all(
                isinstance(one, list) and len(one) == 3 and all(type(word) is str for word in one) for one in content
            )
        except (ValueError, RecursionError):
            good = False
        if not good:
            raise UserError(f"{where}/{TRIPLES} is no list of triples: copy the model again")
        self.known = frozenset((s, p, o) for s, p, o in content)

    def config(self) -> dict[str, Any]:
        return {**super().config(), **self.parts}

    def summary(self) -> str:
        return f"{len(self.labels):,} labels, {len(self.predicates):,} predicates"

    def report(
        self,
        path: Path,
        predictor: Any,
        examples: Sequence[Example],
        source: Any,
        predictions: Mapping[int | str, Any],
        scores: Scores,
        *,
        title: str,
    ) -> Path:
        """Scores, and pictures with the graphs that were found beside those of people, the worst among them."""
        from captioning.tasks.scene_graphs.evaluation import write_graphs

        return write_graphs(path, examples, source, predictions, scores, title=title)

    def predictor(self, bundle: Any, device: str | torch.device | None = None) -> Any:
        """A `Grapher`."""
        from captioning.tasks.scene_graphs.grapher import Grapher

        return Grapher(bundle, device=device)


def prior_of(examples: Sequence[Example], labels: Mapping[str, int], predicates: Mapping[str, int]) -> Tensor:
    """How often things of two labels are what to each other, as `frequency_prior` has it."""
    counts: Counter[tuple[int, int, int]] = Counter()
    pairs = torch.zeros(len(labels), len(labels))
    for example in examples:
        numbers = [labels.get(label, -1) for label in example.labels]
        there = Counter(number for number in numbers if number >= 0)
        for one, count in there.items():
            for other, others in there.items():
                pairs[one, other] += count * (others - (one == other))
        for s, predicate, o in getattr(example, "relations", ()):
            if predicate in predicates and numbers[s] >= 0 and numbers[o] >= 0:
                counts[numbers[s], numbers[o], predicates[predicate]] += 1
    return frequency_prior(counts, pairs, len(labels), len(predicates))


def true_graph(example: Example) -> Graph:
    """The graph of an example as metrics have it."""
    return Graph(example.boxes, example.labels, tuple(getattr(example, "relations", ())))


def as_graph(content: Mapping[str, Any]) -> Graph:
    """A predicted graph as metrics have it."""
    objects = content["objects"]
    relations = tuple((s, predicate, o) for s, predicate, o, _ in content["relations"])
    return Graph(tuple(tuple(one["box"]) for one in objects), tuple(one["label"] for one in objects), relations)
