"""Where the graph of a picture comes from: what people wrote, or a model that was trained to find it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from captioning.encoders.base import Encoder
from captioning.encoders.graphs import GraphFinder, Graphs
from captioning.errors import UserError
from captioning.heads.detection import SetDetection, found_things
from captioning.heads.relations import RelationHead, weigh_relations

if TYPE_CHECKING:
    from PIL.Image import Image

    from captioning.example import Example

REMEDY = "name a finished model of graphs: encoder.graphs.model=runs/scene_graphs/model"


class TrueGraphs(GraphFinder):
    """The graph of the example, an upper bound. Only for sources that have graphs."""

    size = 1

    def __init__(self, *, labels: Sequence[str] | None = None, predicates: Sequence[str] | None = None):
        """Names that are told apart; None takes those of the training pictures. Any other label is one and the same,
        any other predicate is none."""
        super().__init__()
        if not labels or not predicates:
            raise UserError("encoder.graphs.labels and .predicates are empty: what is a graph to be made of?")
        self.labels, self.predicates = tuple(labels), tuple(predicates)
        self.numbers = {name: i for i, name in enumerate(self.labels)}
        self.predicate_numbers = {name: i for i, name in enumerate(self.predicates)}

    def read(self, image: Image, example: Example | None) -> tuple[Tensor, Tensor, Tensor]:
        """-> boxes (m, 4), labels (m,) and relations (e, 3). Raises UserError for a picture without an example."""
        if example is None:
            raise UserError(
                "this model reads graphs that people wrote (TrueGraphs), and a photo alone has none: evaluate it on a "
                "data set with graphs, or train one that finds them, encoder=graph"
            )
        numbers = self.predicate_numbers
        relations = [(s, numbers[p], o) for s, p, o in getattr(example, "relations", ()) if p in numbers]
        return (
            torch.tensor(example.boxes, dtype=torch.float32).view(-1, 4),
            torch.tensor([self.numbers.get(label, -1) for label in example.labels], dtype=torch.long),
            torch.tensor(relations, dtype=torch.long).view(-1, 3),
        )

    def collate(self, readings: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Graphs:
        return Graphs.stack(*zip(*readings, strict=True))

    def forward(self, seen: Graphs) -> Graphs:
        return seen


class FoundGraphs(GraphFinder):
    """What a finished model of `task=scene_graphs` finds, its parts being in here: nothing else is needed later.

    Training is told `model` and fills in the rest: its `encoder`, the options of its `detector` and `relations`, its
    names. Things and relations of at least the probability `least` are in the graph, one relation for each ordered
    pair and at most `most` of a picture.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        encoder: Encoder | None = None,
        detector: Mapping[str, Any] | None = None,
        relations: Mapping[str, Any] | None = None,
        labels: Sequence[str] = (),
        predicates: Sequence[str] = (),
        least: float = 0.3,
        most: int = 40,
    ):
        super().__init__()
        if encoder is None or detector is None or relations is None or not labels or not predicates:
            read_by = f" (encoder.graphs.model={model} is read by captioning train alone)" if model else ""
            raise UserError(f"encoder=graph finds graphs by another model{read_by}: {REMEDY}")
        if not 0 <= least <= 1 or most < 0:
            raise UserError(f"encoder.graphs.least={least} is a probability, encoder.graphs.most={most} 0 or more")
        self.labels, self.predicates, self.least, self.most = tuple(labels), tuple(predicates), least, most
        sizes = {"visual_width": encoder.width, "labels": len(self.labels)}
        self.encoder = encoder
        self.detector = SetDetection(**sizes, **detector)
        self.relations = RelationHead(**sizes, predicates=len(self.predicates), **relations)
        self.train(False)

    @property
    def size(self) -> int:  # type: ignore[override]
        return self.encoder.size

    def read(self, image: Image, example: Example | None) -> Any:
        return self.encoder.read(image) if example is None else self.encoder.read_annotated(image, example)

    def collate(self, readings: Sequence[Any]) -> Any:
        return self.encoder.collate(readings)

    @torch.no_grad()
    def forward(self, seen: Any) -> Graphs:
        memory = self.encoder(seen).float()
        boxes, labels, scores, real = found_things(self.detector(memory), least=self.least)
        _, _, index, weighed = weigh_relations(self.relations, memory, boxes, real, labels, scores)
        likely, predicate = weighed.max(1) if len(weighed) else (weighed.new_zeros(0), index.new_zeros(0))
        edges = []
        for b in range(len(memory)):
            mine = ((index[:, 0] == b) & (likely >= self.least)).nonzero()[:, 0]
            mine = mine[likely[mine].sort(descending=True, stable=True).indices[: self.most]]
            edges.append(torch.stack([index[mine, 1], predicate[mine], index[mine, 2]], -1))
        counts = real.sum(1).tolist()
        return Graphs.stack(
            [boxes[b, :n] for b, n in enumerate(counts)], [labels[b, :n] for b, n in enumerate(counts)], edges
        )
