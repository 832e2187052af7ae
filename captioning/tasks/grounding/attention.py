"""Grounding without boxes: where a captioner looks when it says a phrase (Rohrbach et al. 2016 call it weak)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from captioning.errors import UserError
from captioning.heads.grounding import Located
from captioning.layers.positions import grid_cells
from captioning.memory import VisualMemory
from captioning.tasks.base import Task
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.captioning.confidence import AS_IT_IS
from captioning.tasks.captioning.task import Captioning
from captioning.tasks.grounding.locator import Locator
from captioning.tasks.grounding.task import Grounding
from captioning.text.vocabulary import BOS, EOS, PAD, UNK

NEAR = 0.4  # of the largest weight: the box is around all tokens with so much
FEWEST = 5  # cells a side of a grid of which three are a neighbourhood and not the picture
CERTAIN = 20.0  # log-odds: a captioner never says that something is not there


@dataclass
class Looked:
    """What `Grounding` asks of a context."""

    places: Tensor  # (B, N, 4)
    mask: Tensor  # (B, N)


class AttentionGrounding(Grounding):
    """The captioner is made to say the phrase, and where it looks having said each of its words tells where that is.

    Where it looks before it says a word hangs on what it is about to say, not on the word that it is then made to say:
    "a man" and "a table" would be in one place. Weights of a grid's cells are those of their neighbourhoods, since what
    a cell says is known to those around it. Nothing is learned, and no box is seen in training. The point is the token
    with the highest weight; the box is around all tokens with at least NEAR of that. Its score is the share of the
    attention that lies in it, no probability; what is not there is not told.
    """

    def __init__(self, captioner: Captioning):
        Task.__init__(self)
        self.captioner = captioner
        self.vocabulary, self.presence = captioner.vocabulary, AS_IT_IS
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))

    def encode(self, phrase: str) -> list[int]:
        return [i for i in self.vocabulary.encode(phrase) if i != EOS] or [UNK]

    def locate(self, memory: VisualMemory, words: Tensor) -> tuple[Looked, Located]:
        """Raises UserError for a captioner that attends to nothing, or to no places."""
        decoder: nn.Module = self.captioner.decoder
        begin = torch.full_like(words[..., :1], BOS)
        attention = decoder.forward_features(decoder.prepare(memory), torch.cat([begin, words], -1)).attention
        if attention is None or memory.times is not None:
            raise UserError("this captioner looks at no places of a picture: it cannot tell where a phrase is")
        attention = attention[..., 1:, :]  # (B, R, T, N) having read each word
        own = attention.shape[-1]  # places; behind them a decoder may have tokens of its own
        real = (words != PAD).float()  # (B, R, T)
        weights = (attention.float() * real[..., None]).sum(2) / real.sum(2, keepdim=True).clamp(min=1)  # (B, R, N)
        places = (grid_cells(memory.mask) if memory.boxes is None else memory.boxes).float()[:, :own]
        mask = memory.mask[:, :own]
        weights = around_cells(weights.masked_fill(~mask[:, None], 0.0), places)
        much = weights >= NEAR * weights.amax(-1, keepdim=True).clamp(min=1e-12)  # (B, R, N)
        edges = places[:, None].expand(-1, words.shape[1], -1, -1)
        low = edges[..., :2].masked_fill(~much[..., None], 1.0).amin(2)
        high = edges[..., 2:].masked_fill(~much[..., None], 0.0).amax(2)
        boxes = torch.cat([low, high], -1)
        inside = torch.stack([(box_iou(b, p) > 0) * w for b, p, w in zip(boxes, places, weights, strict=True)]).sum(-1)
        share = (inside / weights.sum(-1).clamp(min=1e-12)).clamp(1e-6, 1 - 1e-6)
        tokens = weights.clamp(min=1e-12).log().masked_fill(~mask[:, None], torch.finfo(torch.float32).min)
        there = torch.full_like(share, CERTAIN)
        return Looked(places, mask), Located(boxes, there, torch.logit(share), tokens, edges)

    def config(self) -> dict[str, Any]:
        raise UserError("where a captioner looks is not kept as a model: keep the captioner")


def around_cells(weights: Tensor, places: Tensor) -> Tensor:
    """Weights (B, R, N) of tokens in `places` (B, N, 4), as means over each cell and its up to eight neighbours where
    the tokens begin with a square grid of FEWEST cells a side or more; others as they are."""
    side = next((k for k in range(math.isqrt(places.shape[1]), FEWEST - 1, -1) if begins_with_grid(places, k)), 0)
    if not side:
        return weights
    cells = weights[..., : side * side].unflatten(-1, (side, side))
    cells = F.avg_pool2d(cells, 3, stride=1, padding=1, count_include_pad=False)
    return torch.cat([cells.flatten(-2), weights[..., side * side :]], -1)


def begins_with_grid(places: Tensor, side: int) -> bool:
    """Whether the first tokens of every image are the cells of a grid of `side` x `side`."""
    cells = grid_cells(torch.ones(1, side * side, dtype=torch.bool, device=places.device))
    return torch.allclose(places[:, : side * side], cells.expand(len(places), -1, -1).to(places.dtype), atol=1e-3)


def by_attention(captioner: Captioner) -> Locator:
    """A `Locator` that looks where a captioner does."""
    bundle = replace(captioner.bundle, task=AttentionGrounding(captioner.task))
    return Locator(bundle, device=captioner.device)
