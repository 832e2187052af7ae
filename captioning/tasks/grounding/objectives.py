"""What locating phrases is learned from: boxes, the tokens that show what is meant, and how sure one may be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from captioning.heads.boxes import GIOU, L1, box_losses, broadcast_ious
from captioning.heads.grounding import GroundingHead, Located
from captioning.metrics.box_scores import OVERLAP

SHOWN = 0.5  # of a cell, or IoU of a region: from here on a token shows a thing


@dataclass(frozen=True)
class Phrases:
    """The phrases of B images as numbers, and where they are learned from, what they mean.

    `boxes` (B, R, M, 4) of which `counts` (B, R) are real: none where nothing in the image is meant.
    """

    words: Tensor  # (B, R, T) padded with PAD
    rows: tuple[int, ...]  # phrases of each image
    boxes: Tensor | None = None
    counts: Tensor | None = None
    mirrored: Tensor | None = None  # (B,) whether boxes and words are those of the image in a mirror

    def to(self, *args, **kwargs) -> Phrases:
        """Moved as `Tensor.to` moves them; words and counts stay whole numbers."""
        boxes = None if self.boxes is None else self.boxes.to(*args, **kwargs)
        device = self.words.to(*args, **kwargs).device
        whole = {name: getattr(self, name) for name in ("words", "counts", "mirrored")}
        moved = {name: None if value is None else value.to(device) for name, value in whole.items()}
        return replace(self, boxes=boxes, **moved)


@dataclass(frozen=True)
class Weights:
    """What each part of the loss counts."""

    box: float = 1.0
    tokens: float = 1.0
    parts: float = 0.5
    sure: float = 0.5


def grounding_losses(
    head: GroundingHead, found: Located, places: Tensor, boxes: Tensor, counts: Tensor
) -> dict[str, Tensor]:
    """Losses of n phrases, by the names of `Weights`: found (n, ...), places (n, N, 4), boxes (n, M, 4), counts (n,).

    box: 5 times L1 and twice the generalised IoU, of every stage, to the box around all things that are meant; tokens:
    cross-entropy to those that show one, and of each whether it does; parts: of these the box of their thing; sure:
    whether anything is meant, and whether the box then overlaps enough. Where nothing is meant only the last two of
    `tokens` and `sure` count.
    """
    there = counts > 0
    real = torch.arange(boxes.shape[1], device=boxes.device) < counts[:, None]  # (n, M)
    some = there.sum().clamp(min=1)
    whole = around(boxes, real)[there]
    losses = {"box": boxes.new_zeros(())}
    for stage in (*found.stages, found.boxes):
        l1, giou = box_losses(stage[there], whole)
        losses["box"] = losses["box"] + (L1 * l1 + GIOU * giou).sum() / some
    shown = head.shows(places, boxes) * real[:, None]  # (n, N, M)
    best, which = shown.max(-1)  # (n, N)
    shares = best / best.sum(1, keepdim=True).clamp(min=1e-6)
    pointed = -(shares * found.tokens.log_softmax(-1)).sum(-1)[there].sum() / some
    padding = found.tokens <= torch.finfo(torch.float32).min / 2  # of whatever precision it came from
    each = F.binary_cross_entropy_with_logits(found.tokens, (best >= SHOWN).float(), reduction="none")
    losses["tokens"] = pointed + each.masked_fill(padding, 0.0).sum() / (~padding).sum().clamp(min=1)
    row, token = (best >= SHOWN).nonzero(as_tuple=True)
    l1, giou = box_losses(found.parts[row, token], boxes[row, which[row, token]])
    per_row = 1 / (best >= SHOWN).sum(1).clamp(min=1).float()
    losses["parts"] = ((L1 * l1 + GIOU * giou) * per_row[row]).sum() / some
    right = broadcast_ious(found.boxes[there].detach(), whole) >= OVERLAP
    losses["sure"] = F.binary_cross_entropy_with_logits(found.there, there.float()) + (
        F.binary_cross_entropy_with_logits(found.sure[there], right.float(), reduction="sum") / some
    )
    losses["right"] = right.float().sum() / some  # not to be learned from
    return losses


def around(boxes: Tensor, real: Tensor) -> Tensor:
    """The box around the real ones of (n, M, 4), real (n, M) -> (n, 4)."""
    low = boxes[..., :2].masked_fill(~real[..., None], 1.0).amin(1)
    high = boxes[..., 2:].masked_fill(~real[..., None], 0.0).amax(1)
    return torch.cat([low, high], -1)
