"""What scene graphs are learned from: pairs that are related, and some that are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_convert

from captioning.example import Example
from captioning.heads.detection import Things
from captioning.heads.relations import RelationHead, all_pairs
from captioning.memory import VisualMemory
from captioning.tasks.recognition.things import true_things

OTHERS = 3  # unrelated pairs to a related one that are learned from, and
FEWEST = 12  # of each image at least


@dataclass(frozen=True)
class GraphTargets:
    """The things of B images, and (n, 4) their relations: image, subject, object, predicate."""

    things: Things
    relations: Tensor

    def to(self, *args, **kwargs) -> GraphTargets:
        """Moved as `Tensor.to` moves them; numbers stay whole."""
        things = self.things.to(*args, **kwargs)
        return GraphTargets(things, self.relations.to(things.boxes.device))


def graph_targets(
    examples: Sequence[Example], labels: Mapping[str, int], predicates: Mapping[str, int]
) -> GraphTargets:
    """Graphs as numbers; a relation whose predicate has none is not among them."""
    relations = [
        (b, s, o, predicates[predicate])
        for b, example in enumerate(examples)
        for s, predicate, o in getattr(example, "relations", ())
        if predicate in predicates
    ]
    return GraphTargets(true_things(examples, labels), torch.tensor(relations, dtype=torch.long).view(-1, 4))


def relation_losses(
    head: RelationHead, memory: VisualMemory, targets: GraphTargets, *, jitter: float
) -> dict[str, Tensor]:
    """name: cross-entropy of what is in a true box; relation: of what related pairs are, and some others, "nothing".

    Boxes are moved by up to `jitter` of their size in training, as those that are found are never quite the true ones.
    Pairs of a thing whose label is unknown are left out.
    """
    things, relations = targets.things, targets.relations
    boxes = jittered(things.boxes.float(), jitter) if head.training and jitter else things.boxes.float()
    nodes, fine, places = head.nodes(memory, boxes, things.real)
    known = things.real & (things.labels >= 0)
    name = F.cross_entropy(nodes.logits[known].float(), things.labels[known], reduction="sum") / known.sum().clamp(
        min=1
    )
    labels = things.labels.clamp(min=0)
    kept = relations[known[relations[:, 0], relations[:, 1]] & known[relations[:, 0], relations[:, 2]]]
    related = torch.zeros(*known.shape, known.shape[1], dtype=torch.bool, device=known.device)
    related[relations[:, 0], relations[:, 1], relations[:, 2]] = True
    pairs = all_pairs(known)
    others = pairs[~related[pairs[:, 0], pairs[:, 1], pairs[:, 2]]]
    most = max(OTHERS * len(kept), FEWEST * len(known))
    if len(others) > most:
        others = others[torch.randperm(len(others), device=others.device)[:most]]
    index = torch.cat([kept[:, :3], others])
    wanted = torch.cat([kept[:, 3], others.new_full((len(others),), head.predicates)])
    logits = head.pairs(memory, nodes, fine, places, labels, index)
    relation = F.cross_entropy(logits, wanted, reduction="sum") / max(1, len(wanted))
    return {"name": name, "relation": relation}


def jittered(boxes: Tensor, most: float) -> Tensor:
    """Corners (B, M, 4), centres moved and sizes changed by up to `most` of the size, within the picture."""
    middle = box_convert(boxes, "xyxy", "cxcywh")
    moved = most * (2 * torch.rand_like(middle) - 1)
    centre = middle[..., :2] + moved[..., :2] * middle[..., 2:]
    size = middle[..., 2:] * (1 + moved[..., 2:])
    return box_convert(torch.cat([centre, size], -1), "cxcywh", "xyxy").clamp(0, 1)
