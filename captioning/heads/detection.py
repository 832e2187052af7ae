"""All things of a picture at once: a set of boxes with labels out of any memory, in the manner of DETR.

Shapes: B images, N visual tokens, D their width, W width, C labels, Q slots an image, M true things.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torchvision.ops import batched_nms, box_convert, generalized_box_iou

from captioning.errors import UserError
from captioning.heads.answers import Layer, Tokens
from captioning.heads.boxes import CELLS, GIOU, L1, BoxRegression, box_losses, shares_of_tokens
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.multi_head_attention import additive_mask
from captioning.layers.positions import box_positions, grid_cells
from captioning.memory import VisualMemory

START = 0.25  # of the picture's side: how large a thing is taken to be before a cell says more
MOST = 100  # boxes of a picture
SAME = 0.7  # IoU of two boxes of one label from which they are one thing
NOTHING = 0.1  # what a slot without a thing counts, of which there are many (arXiv:2005.12872)


@dataclass(frozen=True)
class Detected:
    """What Q slots an image say. A slot that is padding says "nothing" and nothing else."""

    logits: Tensor  # (B, Q, C + 1)  the last is "nothing"
    boxes: Tensor  # (B, Q, 4)      corners in [0, 1]
    stages: tuple[tuple[Tensor, Tensor], ...] = ()  # logits and boxes before they were refined, to learn from


@dataclass(frozen=True)
class Things:
    """The true things of B images, padded: a label of -1 is none that is known."""

    boxes: Tensor  # (B, M, 4)
    labels: Tensor  # (B, M) int64
    real: Tensor  # (B, M)

    def to(self, *args, **kwargs) -> Things:
        """Moved as `Tensor.to` moves them; labels stay whole numbers."""
        boxes = self.boxes.to(*args, **kwargs)
        return Things(boxes, self.labels.to(boxes.device), self.real.to(boxes.device))


class SetDetection(nn.Module):
    """Slots in the places of tokens say what is there, look at each other and again into their boxes.

    DETR (Carion et al. 2020, arXiv:2005.12872) asks the memory by learned queries, which take hundreds of epochs to
    divide a picture among them. Here, as in the two-stage form of Deformable DETR (Zhu et al. 2021, arXiv:2010.04159),
    every token is a slot whose box starts where the token is: at the region's box, or round the cell of a grid. The
    `slots` likeliest go on; each of `layers` lets them look at each other and at what lies in their boxes. What is
    learned is the set: each true thing belongs to one slot, the others say "nothing", so that nothing is suppressed.
    Any memory will do: tokens are where their boxes say, or in cells of a square.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        labels: int,
        width: int = 256,
        encoder_layers: int = 1,
        layers: int = 2,
        heads: int = 8,
        feed_forward: int = 512,
        fine: int = 64,
        slots: int = 100,
        dropout: float = 0.1,
    ):
        """`fine` numbers of each token are looked at again inside a box."""
        super().__init__()
        if heads < 1 or width % heads:
            raise UserError(f"task.head.heads={heads}: it has to divide task.head.width, which is {width}")
        if slots < 1 or encoder_layers < 0 or layers < 0:
            raise UserError("task.head.slots is 1 or more, layers and encoder_layers are 0 or more")
        self.width, self.slots = width, slots
        self.tokens = Tokens(visual_width, width, dropout, positions=True)
        self.encoder = nn.ModuleList(
            Layer(width, heads, feed_forward, dropout, guided=False) for _ in range(encoder_layers)
        )
        self.norm, self.fine = nn.LayerNorm(width), Linear(width, fine)
        self.label = nn.ModuleList(Linear(width, labels + 1) for _ in range(layers + 1))
        self.box = nn.ModuleList(BoxRegression(width, dropout=dropout) for _ in range(layers + 1))
        self.look = nn.ModuleList(Linear(fine * CELLS**2 + 2 * width, width) for _ in range(layers))
        self.among = nn.ModuleList(Layer(width, heads, feed_forward, dropout, guided=False) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))
        self.dropout = Dropout(dropout)

    def forward(self, memory: VisualMemory) -> Detected:
        tokens, mask = self.tokens(memory), memory.mask
        bias = additive_mask(mask, tokens.dtype)[:, None, None]  # (B, 1, 1, N)
        for layer in self.encoder:
            tokens = layer(tokens, bias)
        x = self.norm(tokens)  # (B, N, W)
        fine = self.fine(x).float()
        places = (grid_cells(mask) if memory.boxes is None else memory.boxes).float()
        boxes = self.box[0](x, around=starts(places, memory.boxes is None)).float()
        said = [(silent(self.label[0](x).float(), mask), boxes)]
        if x.shape[1] > self.slots:
            first = said[0][0].log_softmax(-1)[..., -1].sort(dim=1, stable=True).indices[:, : self.slots]  # (B, Q)
            x, boxes, mask = (pick(part, first) for part in (x, boxes, mask))
            bias = additive_mask(mask, x.dtype)[:, None, None]
        for look, among, norm, label, box in zip(
            self.look, self.among, self.norms, self.label[1:], self.box[1:], strict=True
        ):
            around = boxes.detach()
            inside = (shares_of_tokens(around, places, memory.mask).flatten(1, 2) @ fine).view(*around.shape[:2], -1)
            where = box_positions(around, self.width).to(x.dtype)
            x = x + self.dropout(look(torch.cat([inside.to(x.dtype), where, x], -1)).relu())
            x = norm(among(x, bias))
            boxes = box(x, around=around).float()
            said.append((silent(label(x).float(), mask), boxes))
        logits, boxes = said[-1]
        return Detected(logits, boxes, tuple(said[:-1]))


def starts(places: Tensor, cells: bool) -> Tensor:
    """Where the boxes of slots begin: at the tokens' own, round the centre of a cell with the size START."""
    if not cells:
        return places
    centres = box_convert(places, "xyxy", "cxcywh")[..., :2]
    return box_convert(torch.cat([centres, torch.full_like(centres, START)], -1), "cxcywh", "xyxy")


def silent(logits: Tensor, mask: Tensor) -> Tensor:
    """Logits (B, Q, C + 1) with certainty of nothing where mask (B, Q) is False."""
    nothing = torch.full_like(logits, torch.finfo(logits.dtype).min / 2)
    nothing[..., -1] = 0.0
    return torch.where(mask[..., None], logits, nothing)


def pick(part: Tensor, index: Tensor) -> Tensor:
    """The slots index (B, Q) of (B, N, ...)."""
    return part[torch.arange(len(part), device=part.device)[:, None], index]


def best_slots(found: Detected, b: int, *, least: float, most: int = MOST, overlap: float = SAME) -> Tensor:
    """(n, 2) slot and label of image b, likeliest first. Of one label, boxes that overlap by more are one thing."""
    likely = found.logits[b].softmax(-1)[:, :-1]  # (Q, C)
    scores, labels = likely.max(-1)
    taken = (scores >= least).nonzero()[:, 0]
    kept = batched_nms(found.boxes[b, taken].double(), scores[taken].double(), labels[taken], overlap)[:most]
    return torch.stack([taken[kept], labels[taken[kept]]], -1)


def found_things(found: Detected, *, least: float, most: int = MOST) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The things of B images as `best_slots` has them, padded -> boxes (B, M, 4), labels, scores and real (B, M)."""
    slots = [best_slots(found, b, least=least, most=most) for b in range(len(found.logits))]
    longest = max((len(one) for one in slots), default=0)
    boxes = found.boxes.new_zeros(len(slots), longest, 4)
    labels = torch.zeros(len(slots), longest, dtype=torch.long, device=boxes.device)
    scores, real = boxes.new_zeros(len(slots), longest), torch.zeros_like(labels, dtype=torch.bool)
    for b, one in enumerate(slots):
        boxes[b, : len(one)] = found.boxes[b, one[:, 0]]
        labels[b, : len(one)] = one[:, 1]
        scores[b, : len(one)] = found.logits[b].softmax(-1)[one[:, 0], one[:, 1]]
        real[b, : len(one)] = True
    return boxes, labels, scores, real


def match(logits: Tensor, boxes: Tensor, things: Things) -> tuple[Tensor, Tensor, Tensor]:
    """The slots to which true things belong, by the least sum of costs (Kuhn 1955) -> image, slot, thing, (n,) each.

    A cost is as in DETR: L1 and generalised IoU with their weights, less the probability of the label. Of more things
    than slots those are left out that fit worst.
    """
    likely = logits.detach().softmax(-1)
    found = []
    for b in range(len(logits)):
        real = things.real[b].nonzero()[:, 0]
        wanted, labels = things.boxes[b, real].float(), things.labels[b, real]
        l1 = torch.cdist(box_convert(boxes[b].detach(), "xyxy", "cxcywh"), box_convert(wanted, "xyxy", "cxcywh"), p=1)
        named = torch.where(labels >= 0, likely[b][:, labels.clamp(min=0)], 0.0)  # (Q, m)
        cost = L1 * l1 - GIOU * generalized_box_iou(boxes[b].detach(), wanted) - named
        slots, those = linear_sum_assignment(cost.cpu().numpy())
        found += [(b, int(slot), int(real[one])) for slot, one in zip(slots, those, strict=True)]
    pairs = torch.tensor(found, dtype=torch.long, device=logits.device).view(-1, 3)
    return pairs[:, 0], pairs[:, 1], pairs[:, 2]


def detection_losses(found: Detected, things: Things) -> dict[str, Tensor]:
    """label: cross-entropy of every slot, in which "nothing" counts a tenth; box: L1 and generalised IoU of those that
    have a thing, a mean over things. Both over every stage, each with its own matching."""
    some = things.real.sum().clamp(min=1)
    losses = {"label": found.boxes.new_zeros(()), "box": found.boxes.new_zeros(())}
    for logits, boxes in (*found.stages, (found.logits, found.boxes)):
        image, slot, thing = match(logits, boxes, things)
        nothing = logits.shape[-1] - 1
        wanted = torch.full(logits.shape[:2], nothing, device=logits.device)
        labels = things.labels[image, thing]
        wanted[image, slot] = torch.where(labels >= 0, labels, -100)  # of an unknown label nothing is learned
        weight = torch.ones(nothing + 1, device=logits.device)
        weight[-1] = NOTHING
        each = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), weight, ignore_index=-100, reduction="sum")
        l1, giou = box_losses(boxes[image, slot], things.boxes[image, thing].float())
        losses["label"] = losses["label"] + each / some
        losses["box"] = losses["box"] + (L1 * l1 + GIOU * giou).sum() / some
    return losses
