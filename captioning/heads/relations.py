"""What pairs of things are to each other: by appearance, geometry, what lies around both, names, and how often.

Shapes: B images, N visual tokens, D their width, W width, M things, C labels, P predicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from captioning.errors import UserError
from captioning.heads.answers import Layer
from captioning.heads.boxes import CELLS, shares_of_tokens
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.multi_head_attention import additive_mask
from captioning.layers.positions import box_positions, grid_cells
from captioning.memory import VisualMemory

PARTS = ("appearance", "geometry", "union", "labels", "prior")
GEOMETRY = 12


@dataclass(frozen=True)
class Nodes:
    """Things of B images as they are seen."""

    seen: Tensor  # (B, M, W)
    logits: Tensor  # (B, M, C) of what each is
    boxes: Tensor  # (B, M, 4)
    mask: Tensor  # (B, M)


class RelationHead(nn.Module):
    """Reads labels of boxes and predicates of ordered pairs out of any memory.

    A thing is what the tokens say in nine parts of its box, things look at each other, and of a pair speak the `parts`:
    what subject and object look like ("appearance"), how their boxes lie to each other ("geometry"), what lies in the
    box around both ("union"), their names ("labels"), and how often such things are so in training ("prior", Zellers et
    al. 2018, arXiv:1711.06640), to whose logarithm the others add. `parts` [prior] alone is the frequency baseline.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        labels: int,
        predicates: int,
        parts: Sequence[str] = PARTS,
        width: int = 256,
        layers: int = 1,
        heads: int = 8,
        feed_forward: int = 512,
        fine: int = 64,
        dropout: float = 0.1,
    ):
        """`fine` numbers of each token are looked at inside a box; `layers` in which things look at each other."""
        super().__init__()
        if heads < 1 or width % heads:
            raise UserError(f"task.relations.heads={heads}: it has to divide task.relations.width, which is {width}")
        unknown = [part for part in parts if part not in PARTS]
        if unknown or not parts:
            raise UserError(f"task.relations.parts={list(parts)}: they are of {', '.join(PARTS)}, one at least")
        self.parts, self.width, self.predicates = tuple(parts), width, predicates
        self.tokens = nn.Sequential(nn.LayerNorm(visual_width), Dropout(dropout), Linear(visual_width, fine))
        self.node = Linear(fine * CELLS**2 + width, width)
        self.among = nn.ModuleList(Layer(width, heads, feed_forward, dropout, guided=False) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.label = Linear(width, labels)
        self.embed = nn.Embedding(labels, width)
        self.subject, self.object = Linear(width, width), Linear(width, width)
        self.subject_label, self.object_label = Linear(width, width), Linear(width, width)
        self.geometry = nn.Sequential(Linear(GEOMETRY, width), nn.ReLU(), Linear(width, width))
        self.union = Linear(fine * CELLS**2, width)
        self.dropout = Dropout(dropout)
        self.predicate = nn.Sequential(Linear(width, width), nn.ReLU(), Linear(width, predicates + 1))
        self.register_buffer("prior", torch.zeros(labels, labels, predicates + 1))  # logarithms

    def nodes(self, memory: VisualMemory, boxes: Tensor, mask: Tensor) -> tuple[Nodes, Tensor, Tensor]:
        """Things in boxes (B, M, 4) -> what they look like, and what tokens say and where they are, for pairs."""
        fine = self.tokens(memory.tokens).float()
        places = (grid_cells(memory.mask) if memory.boxes is None else memory.boxes).float()
        inside = (shares_of_tokens(boxes, places, memory.mask).flatten(1, 2) @ fine).view(*boxes.shape[:2], -1)
        x = self.node(torch.cat([inside, box_positions(boxes, self.width)], -1)).relu()
        bias = additive_mask(mask, x.dtype)[:, None, None]
        alone = self.label(self.norm(x))  # what a thing is does not hang on where others are
        for layer in self.among:
            x = layer(x, bias)
        return Nodes(self.norm(x), alone, boxes, mask), fine, places

    def pairs(
        self, memory: VisualMemory, nodes: Nodes, fine: Tensor, places: Tensor, labels: Tensor, index: Tensor
    ) -> Tensor:
        """Logits (n, P + 1) of what pairs are, the last "nothing"; index (n, 3): image, subject, object.

        labels (B, M): what the things are taken to be.
        """
        image, s, o = index.unbind(1)
        said = nodes.seen.new_zeros(len(index), self.width)
        if "appearance" in self.parts:
            said = said + self.subject(nodes.seen)[image, s] + self.object(nodes.seen)[image, o]
        one, other = nodes.boxes[image, s], nodes.boxes[image, o]
        if "geometry" in self.parts:
            said = said + self.geometry(geometry(one, other))
        if "union" in self.parts:
            around = torch.cat([torch.minimum(one, other)[:, :2], torch.maximum(one, other)[:, 2:]], -1)
            said = said + self.union(self._in_unions(fine, places, memory.mask, around, image))
        names = labels[image, s], labels[image, o]
        if "labels" in self.parts:
            said = said + self.subject_label(self.embed(names[0])) + self.object_label(self.embed(names[1]))
        learned = self.parts != ("prior",)
        logits = (
            self.predicate(self.dropout(said.relu())) if learned else said.new_zeros(len(index), self.predicates + 1)
        )
        return logits.float() + self.prior[names] if "prior" in self.parts else logits.float()

    def _in_unions(self, fine: Tensor, places: Tensor, mask: Tensor, around: Tensor, image: Tensor) -> Tensor:
        """What tokens say in nine parts of boxes (n, 4) -> (n, 9 F), image after image: no token is copied."""
        found = fine.new_zeros(len(around), fine.shape[-1] * CELLS**2)
        for b in image.unique().tolist():
            mine = image == b
            shares = shares_of_tokens(around[None, mine], places[b : b + 1], mask[b : b + 1])[0]  # (n, 9, N)
            found[mine] = (shares @ fine[b]).flatten(1).to(found.dtype)  # in mixed precision it is half
        return found


def all_pairs(mask: Tensor) -> Tensor:
    """Ordered pairs of different things where mask (B, M) is True -> (n, 3): image, subject, object."""
    pairs = mask[:, :, None] & mask[:, None] & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    return pairs.nonzero()


def weigh_relations(
    head: RelationHead,
    memory: VisualMemory,
    boxes: Tensor,
    real: Tensor,
    labels: Tensor | None,
    scores: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What things in boxes (B, M, 4) are and how likely each predicate of each ordered pair.

    Given labels (B, M) are -1 where they are to be read; without any all are. `scores` (B, M) are the probabilities of
    the labels, 1 where labels are given without. -> labels and scores (B, M), index (n, 3) of the pairs as `all_pairs`
    has it, and (n, P) the probability that both things and the predicate are right.
    """
    nodes, fine, places = head.nodes(memory, boxes, real)
    sure, seen = nodes.logits.float().softmax(-1).max(-1)  # (B, M)
    if labels is None:
        labels, scores = seen, sure
    else:
        scores = torch.ones_like(sure) if scores is None else scores
        labels, scores = torch.where(labels >= 0, labels, seen), torch.where(labels >= 0, scores, sure)
    index = all_pairs(real)
    likely = head.pairs(memory, nodes, fine, places, labels, index).softmax(-1)[:, :-1]  # (n, P)
    ends = scores[index[:, 0], index[:, 1]] * scores[index[:, 0], index[:, 2]]
    return labels, scores, index, likely * ends[:, None]


def geometry(one: Tensor, other: Tensor) -> Tensor:
    """How boxes (n, 4) lie to others (n, 4) -> (n, 12): both centres and sizes, the step between the centres in the
    picture and in the subject's size, and the logarithms of how the sizes compare, within [-4, 4]."""

    def parts(boxes: Tensor) -> tuple[Tensor, Tensor]:
        first, last = boxes.split(2, -1)
        return (first + last) / 2, (last - first).clamp(min=1e-3)

    (centre, size), (its_centre, its_size) = parts(one), parts(other)
    step = its_centre - centre
    compared = (its_size / size).log()
    return torch.cat([centre, size, its_centre, its_size, 4 * step, compared.clamp(-4, 4)], -1)


def frequency_prior(
    counts: dict[tuple[int, int, int], int], pairs: Tensor, labels: int, predicates: int, *, smooth: float = 1.0
) -> Tensor:
    """Logarithm of how likely a predicate is between things of two labels (C, C, P + 1), the last "nothing".

    `counts`: of (subject, object, predicate) in training; pairs (C, C): how many pairs of such things there were at
    all. Each is shrunk towards how it is over all labels, which counts as `smooth` pairs.
    """
    seen = torch.zeros(labels, labels, predicates + 1)
    for (s, o, p), count in counts.items():
        seen[s, o, p] = count
    seen[..., -1] = (pairs - seen[..., :-1].sum(-1)).clamp(min=0)
    overall = seen.sum((0, 1)) + 1e-3
    overall = overall / overall.sum()
    return ((seen + smooth * overall) / (seen.sum(-1, keepdim=True) + smooth)).log()
