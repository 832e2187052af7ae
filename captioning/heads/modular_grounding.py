"""Where phrases are, region by region: each is scored by what it is, where it is and what is near it.

Shapes as in `captioning.heads.grounding`; K neighbours of a region, M modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_convert

from captioning.decoders.base import Context
from captioning.errors import UserError
from captioning.heads.answers import Tokens
from captioning.heads.boxes import BoxRegression, broadcast_ious
from captioning.heads.grounding import GroundingHead, Located
from captioning.heads.projection import Temperature, unit
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.masking import masked_softmax
from captioning.layers.positions import grid_cells
from captioning.memory import VisualMemory

MODULES = ("subject", "location", "relation")
SHARPNESS = 5  # at which an IoU of 0.3 counts 0.07, one of 0.5 a half and one of 0.7 0.84
FEATURES = 5  # numbers that say where a box is, or where it is to another


@dataclass
class RegionContext(Context):
    """What each module knows of the regions, of length one."""

    subject: Tensor  # (B, N, W)
    location: Tensor | None  # (B, N, W)
    relation: Tensor | None  # (B, N, K, W)
    neighbours: Tensor | None  # (B, N, K) True where there is one
    tokens: Tensor  # (B, N, W)
    parts: Tensor  # (B, N, F)
    places: Tensor  # (B, N, 4)
    mask: Tensor  # (B, N)


class ModularGrounding(GroundingHead):
    """Each region has a score, and the box of the best is refined. After MAttNet (Yu et al. 2018, arXiv:1801.08186).

    Every module reads its own weighted mean of the words and compares it with its own view of a region: `subject` with
    its appearance, `location` with its place, and where it is to the nearest regions, `relation` with the best of
    `neighbours` regions near it, their appearance and their place to it. The words say how much each counts. With
    modules=[subject] it is top-down attention alone (Anderson et al. 2018). Regions may be cells. With `extent` the box
    around all that is meant is read from what all regions show of it, beginning at the best; without, it is that one's.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        text_width: int,
        width: int = 256,
        modules: Sequence[str] = MODULES,
        neighbours: int = 5,
        fine: int = 64,
        extent: bool = False,
        dropout: float = 0.2,
    ):
        super().__init__()
        self.modules_used = tuple(modules)
        if "subject" not in self.modules_used or not set(self.modules_used) <= set(MODULES):
            raise UserError(f"task.head.modules={list(modules)}: subject, and if wanted location and relation")
        if neighbours < 1:
            raise UserError(f"task.head.neighbours={neighbours}: it is 1 or more")
        self.neighbours = neighbours
        self.words = nn.Sequential(nn.LayerNorm(text_width), Dropout(dropout), Linear(text_width, width))
        self.attend, self.weigh = Linear(width, len(self.modules_used)), Linear(width, len(self.modules_used))
        self.queries = nn.ModuleList(Linear(width, width) for _ in self.modules_used)
        self.tokens = Tokens(visual_width, width, dropout, positions=False)
        self.subject = nn.Sequential(Linear(width, width), nn.ReLU(), Linear(width, width))
        if "location" in self.modules_used:
            self.location = nn.Sequential(Linear(FEATURES * (1 + neighbours), width), nn.ReLU(), Linear(width, width))
        if "relation" in self.modules_used:
            self.relation = nn.Sequential(Linear(width + FEATURES, width), nn.ReLU(), Linear(width, width))
        self.temperature = Temperature()
        self.bias = nn.Parameter(torch.tensor([-3.0]))
        self.part_of_token, self.part_of_phrase = Linear(width, fine), Linear(width, fine)
        self.part = BoxRegression(fine)
        self.look = Linear(2 * width + 8, width) if extent else None
        self.extent = BoxRegression(width, dropout=dropout) if extent else None
        self.sure = nn.Sequential(Linear(2 * width + 1, width), nn.ReLU(), Dropout(dropout), Linear(width, 2))

    def prepare(self, memory: VisualMemory) -> RegionContext:
        tokens = self.tokens(memory).relu()
        places = (grid_cells(memory.mask) if memory.boxes is None else memory.boxes).float()
        location = relation = there = None
        if len(self.modules_used) > 1:
            near, there = nearest(places, memory.mask, self.neighbours)  # (B, N, K)
            offsets = to_each(places, near) * there[..., None]  # (B, N, K, 5)
            if "location" in self.modules_used:
                own = torch.cat([places, (places[..., 2:] - places[..., :2]).prod(-1, keepdim=True)], -1)
                location = unit(self.location(torch.cat([own, offsets.flatten(2)], -1).to(tokens.dtype)))
            if "relation" in self.modules_used:
                images = torch.arange(len(tokens), device=tokens.device)[:, None, None]
                seen = torch.cat([tokens[images, near], offsets.to(tokens.dtype)], -1)
                relation = unit(self.relation(seen))
        subject = unit(self.subject(tokens))
        parts = self.part_of_token(tokens)
        return RegionContext(subject, location, relation, there, tokens, parts, places, memory.mask)

    def forward(self, context: RegionContext, words: Tensor, real: Tensor) -> Located:
        x = self.words(words)  # (B, R, T, W)
        attention = masked_softmax(self.attend(x).transpose(-1, -2), real[..., None, :])  # (B, R, M, T)
        read = attention @ x  # (B, R, M, W)
        counts = (real[..., None] * x).sum(2) / real.sum(2, keepdim=True).clamp(min=1)
        shares = self.weigh(counts).softmax(-1)  # (B, R, M)
        scores = 0
        for m, name in enumerate(self.modules_used):
            query = unit(self.queries[m](read[:, :, m]))  # (B, R, W)
            scores = scores + shares[..., m, None] * self.compared(context, name, query)
        scores = scores * self.temperature() + self.bias
        scores = scores.masked_fill(~context.mask[:, None], torch.finfo(scores.dtype).min)  # (B, R, N)
        phrase = self.part_of_phrase(read[:, :, 0])  # (B, R, F)
        parts = self.part((context.parts[:, None] + phrase[:, :, None]).relu(), context.places[:, None]).float()
        best = scores.argmax(-1, keepdim=True)  # (B, R, 1)
        weights = masked_softmax(scores, context.mask[:, None])
        seen = weights.to(context.tokens.dtype) @ context.tokens
        if self.extent is None:
            boxes = parts.gather(2, best[..., None].expand(-1, -1, -1, 4)).squeeze(2)
        else:
            images = torch.arange(len(best), device=best.device)[:, None]
            start = context.places[images, best.squeeze(-1)]  # (B, R, 4)
            where = torch.cat([start, weights.float() @ context.places], -1).to(seen.dtype)
            boxes = self.extent(self.look(torch.cat([seen, read[:, :, 0], where], -1)).relu(), start).float()
        about = torch.cat([seen, read[:, :, 0], scores.gather(2, best).to(seen.dtype)], -1)
        there, sure = self.sure(about).unbind(-1)
        return Located(boxes, there, sure, scores, parts)

    def compared(self, context: RegionContext, name: str, query: Tensor) -> Tensor:
        """The cosine of a module's query (B, R, W) with each region (B, R, N)."""
        if name != "relation":
            view = context.subject if name == "subject" else context.location
            return query.to(view.dtype) @ view.transpose(1, 2)
        flat = context.relation.flatten(1, 2)  # (B, N * K, W)
        cosines = (query.to(flat.dtype) @ flat.transpose(1, 2)).unflatten(2, context.neighbours.shape[1:])
        return cosines.masked_fill(~context.neighbours[:, None], -1.0).amax(-1)

    def shows(self, places: Tensor, boxes: Tensor) -> Tensor:
        """The IoU of a region with a box, drawn apart at one half: of many regions that overlap a thing a little, all
        together would else count for more than the one that fits it."""
        fits = broadcast_ious(places[:, :, None], boxes[:, None]).pow(SHARPNESS)
        return fits / (fits + 0.5**SHARPNESS)


def nearest(places: Tensor, mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The regions whose centres are nearest to each of (B, N, 4), itself left out -> their numbers (B, N, K), and True
    where there is one."""
    centres = box_convert(places, "xyxy", "cxcywh")[..., :2]
    far = (centres[:, :, None] - centres[:, None]).pow(2).sum(-1)  # (B, N, N)
    itself = torch.eye(far.shape[1], dtype=torch.bool, device=far.device)
    far = far.masked_fill(itself | ~mask[:, None], float("inf"))
    if count > far.shape[-1]:
        far = F.pad(far, (0, count - far.shape[-1]), value=float("inf"))
    values, numbers = (part[..., :count] for part in far.sort(dim=-1, stable=True))
    return numbers.clamp(max=mask.shape[1] - 1), values.isfinite()


def to_each(places: Tensor, near: Tensor) -> Tensor:
    """Where neighbours (B, N, K) are to each region (B, N, 4), by its size: corners and area (B, N, K, 5)."""
    images = torch.arange(len(places), device=places.device)[:, None, None]
    others, own = places[images, near], box_convert(places, "xyxy", "cxcywh")[:, :, None]
    size = own[..., 2:].clamp(min=1e-3)
    corners = (others - own[..., :2].repeat(1, 1, 1, 2)) / size.repeat(1, 1, 1, 2)
    area = (others[..., 2:] - others[..., :2]).prod(-1) / size.prod(-1)
    return torch.cat([corners.clamp(-10, 10), area.clamp(max=10)[..., None]], -1)
