"""Boxes out of vectors, and what is learned of them: L1 and generalised IoU (Rezatofighi et al. 2019), as DETR does."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_convert, generalized_box_iou_loss

from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear

CELLS = 3  # a side at which the inside of a box is looked at
L1, GIOU = 5.0, 2.0  # weights of the two, as in DETR (arXiv:2005.12872) and TransVG (arXiv:2104.08541)


class BoxRegression(nn.Module):
    """Three layers, the last of which says centre and size as shares of the picture. (..., W) -> corners (..., 4).

    With `around`, boxes to start from as corners (..., 4), it says by how much each has to be moved instead.
    """

    def __init__(self, width: int, *, hidden: int | None = None, dropout: float = 0.0):
        super().__init__()
        hidden = hidden or width
        self.layers = nn.Sequential(
            Linear(width, hidden), nn.ReLU(), Dropout(dropout), Linear(hidden, hidden), nn.ReLU(), Linear(hidden, 4)
        )

    def forward(self, x: Tensor, around: Tensor | None = None) -> Tensor:
        said = self.layers(x)
        if around is not None:
            start = box_convert(around.clamp(0, 1), "xyxy", "cxcywh")
            said = said + torch.logit(start, eps=1e-3)
        return box_convert(said.sigmoid(), "cxcywh", "xyxy").clamp(0, 1)


def box_losses(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of boxes as corners, (n, 4) each -> L1 of centre and size summed over the four, and 1 - generalised IoU.

    (n,) each, to be weighed by L1 and GIOU.
    """
    far = F.l1_loss(box_convert(found, "xyxy", "cxcywh"), box_convert(wanted, "xyxy", "cxcywh"), reduction="none")
    return far.sum(-1), generalized_box_iou_loss(found, wanted, reduction="none")


def broadcast_ious(ones: Tensor, others: Tensor) -> Tensor:
    """The IoU of boxes (..., 4) with others that they broadcast with -> (...); 0 where neither has an area.

    Of pairs it is the diagonal of `torchvision.ops.box_iou`, which knows no batches in older versions.
    """
    sides = torch.minimum(ones[..., 2:], others[..., 2:]) - torch.maximum(ones[..., :2], others[..., :2])
    shared = sides.clamp(min=0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1) for boxes in (ones, others)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-9)


def shares_of_tokens(boxes: Tensor, places: Tensor, mask: Tensor) -> Tensor:
    """By how much of its area each token lies in each of nine parts of a box, row by row, as shares of the part.

    boxes (B, R, 4), places (B, N, 4) of tokens that are real where mask (B, N) -> (B, R, 9, N): all 0 where none is.
    """
    steps = torch.linspace(0, 1, CELLS + 1, device=boxes.device)
    shares = []
    for low, high in ((0, 2), (1, 3)):
        edges = boxes[..., low, None] + (boxes[..., high] - boxes[..., low])[..., None] * steps  # (B, R, 4)
        first, last = places[:, None, None, :, low], places[:, None, None, :, high]
        shares.append(torch.minimum(edges[..., 1:, None], last) - torch.maximum(edges[..., :-1, None], first))
    across, down = (share.clamp(min=0) for share in shares)  # (B, R, 3, N) each
    weights = (down[:, :, :, None] * across[:, :, None]).flatten(2, 3) * mask[:, None, None]  # (B, R, 9, N)
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-9)
