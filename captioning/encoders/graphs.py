"""A scene graph as a memory: a token for each thing of a picture and for each relation between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.layers.linear import Linear
from captioning.layers.positions import box_positions
from captioning.memory import VisualMemory

if TYPE_CHECKING:
    from PIL.Image import Image

    from captioning.example import Example


@dataclass(frozen=True)
class Graphs:
    """The graphs of B pictures, padded at the end: M things, E relations."""

    boxes: Tensor  # (B, M, 4)  corners in [0, 1]
    labels: Tensor  # (B, M)    number of its name; -1 for one that is not known
    real: Tensor  # (B, M)
    relations: Tensor  # (B, E, 3)  subject, predicate, object: numbers of things and of a predicate
    related: Tensor  # (B, E)   True where a relation is real

    def to(self, *args: Any, **kwargs: Any) -> Graphs:
        """Moved as `Tensor.to` moves them; numbers stay whole."""
        boxes = self.boxes.to(*args, **kwargs)
        return Graphs(boxes, *(p.to(boxes.device) for p in (self.labels, self.real, self.relations, self.related)))

    @staticmethod
    def stack(boxes: Sequence[Tensor], labels: Sequence[Tensor], relations: Sequence[Tensor]) -> Graphs:
        """Those of single pictures: boxes (m, 4), labels (m,), relations (e, 3) each."""
        real = pad_sequence([torch.ones_like(one, dtype=torch.bool) for one in labels], batch_first=True)
        related = pad_sequence([torch.ones_like(one[:, 0], dtype=torch.bool) for one in relations], batch_first=True)
        padded = (pad_sequence(list(parts), batch_first=True) for parts in (boxes, labels, relations))
        boxes_, labels_, relations_ = padded
        return Graphs(boxes_, labels_, real, relations_, related)


class GraphFinder(nn.Module):
    """The seam between a picture and its graph: pixels, or what people say of them, to `Graphs`. Always frozen.

    A subclass sets `labels`, `predicates` and `size`, the pixels a side that it wants to see, and implements `read`,
    `collate` and `forward` as an encoder does.
    """

    labels: tuple[str, ...]
    predicates: tuple[str, ...]
    size: int

    def read(self, image: Image, example: Example | None) -> Any:
        """One RGB picture, and what its source knows of it -> what `collate` makes a batch of."""
        raise NotImplementedError

    def collate(self, readings: Sequence[Any]) -> Any:
        """Several results of `read` -> the argument of `forward`, which has a method `to`."""
        raise NotImplementedError

    def forward(self, seen: Any) -> Graphs:
        raise NotImplementedError

    def train(self, mode: bool = True) -> GraphFinder:
        return super().train(False)


class GraphEncoder(Encoder):
    """What `graphs` finds, as tokens: the picture as a whole, its things, then its relations.

    A thing's token is made of its name and its box; a relation's of its predicate, its subject and its object, as in
    the edges of the graph convolution of Johnson et al. 2018 (arXiv:1804.01622). Its box is the one around both. No
    token has seen a pixel: what is said of a picture is said of its graph alone. A picture in which nothing is found
    has the first token alone. pooled: the mean of the tokens.
    """

    def __init__(self, *, graphs: GraphFinder, width: int = 128, finetune: bool = False):
        super().__init__(finetune=finetune)
        if width < 1:
            raise UserError(f"encoder.width={width}: it is 1 or more")
        self.graphs, self.width = graphs, width
        self.label = nn.Embedding(len(graphs.labels) + 1, width)  # the last is a name that is not known
        self.predicate = nn.Embedding(len(graphs.predicates), width)
        self.place = Linear(width, width)
        self.subject, self.object = Linear(width, width), Linear(width, width)
        self.whole = nn.Parameter(torch.randn(width))
        self.norm = nn.LayerNorm(width)
        self.freeze()

    @property
    def size(self) -> int:  # type: ignore[override]
        return self.graphs.size

    def freeze(self) -> None:
        super().freeze()
        self.graphs.requires_grad_(False)

    def read(self, image: Image) -> Any:
        return self.graphs.read(image, None)

    def read_annotated(self, image: Image, example: Example) -> Any:
        return self.graphs.read(image, example)

    def collate(self, pictures: Sequence[Any]) -> Any:
        return self.graphs.collate(list(pictures))

    def forward(self, pictures: Any) -> VisualMemory:
        """B pictures -> N = 1 + the most things of one + the most relations of one."""
        with torch.no_grad():
            found = self.graphs(pictures)
        with torch.set_grad_enabled(self.finetune and torch.is_grad_enabled()):
            labels = torch.where(found.labels >= 0, found.labels, len(self.graphs.labels))
            where = box_positions(found.boxes, self.width).to(self.whole.dtype)
            things = self.label(labels) + self.place(where)  # (B, M, D)
            rows = torch.arange(len(things), device=things.device)[:, None]
            s, predicate, o = found.relations.unbind(-1)  # (B, E) each
            ends = self.subject(things)[rows, s] + self.object(things)[rows, o]
            edges = ends + self.predicate(predicate)  # (B, E, D)
            whole = self.whole.expand(len(things), 1, -1)
            tokens = self.norm(torch.cat([whole, things, edges], 1))  # (B, N, D)
        one, other = found.boxes[rows, s], found.boxes[rows, o]
        around = torch.cat([torch.minimum(one, other)[..., :2], torch.maximum(one, other)[..., 2:]], -1)
        picture = found.boxes.new_tensor([0, 0, 1, 1]).expand(len(things), 1, 4)
        boxes = torch.cat([picture, found.boxes, around], 1)
        mask = torch.cat([found.real.new_ones(len(things), 1), found.real, found.related], 1)
        tokens = tokens * mask[..., None]
        pooled = tokens.sum(1) / mask.sum(1, keepdim=True)
        return VisualMemory(tokens, mask, pooled, boxes * mask[..., None])
