"""Where phrases are: what the words of a phrase and the tokens of its image say of boxes.

Shapes: B images, R phrases an image, T words, N visual tokens, D their width, W width. What depends on the image alone
is made once, by `prepare`, and never copied for its phrases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import box_convert

from captioning.decoders.base import Context
from captioning.errors import UserError
from captioning.heads.answers import Layer, Tokens
from captioning.heads.boxes import CELLS, BoxRegression, shares_of_tokens
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.masking import masked_softmax
from captioning.layers.multi_head_attention import KeysValues, additive_mask
from captioning.layers.positions import box_positions, grid_cells
from captioning.memory import VisualMemory

SINGLE = 0.3  # of the picture's side: how large a thing is taken to be before a cell says more


@dataclass(frozen=True)
class Located:
    """Where R phrases an image are; how sure it is in logits."""

    boxes: Tensor  # (B, R, 4)      around all that a phrase means, corners in [0, 1]
    there: Tensor  # (B, R)         that something is meant which is in the image
    sure: Tensor  # (B, R)          that the box is right, if so
    tokens: Tensor  # (B, R, N)     that a token shows what is meant; the lowest number where it is padding
    parts: Tensor  # (B, R, N, 4)   the single thing that a token shows, corners in [0, 1]
    stages: tuple[Tensor, ...] = ()  # boxes before they were refined, to learn from

    def rows(self, real: Tensor) -> Located:
        """Those where `real` (B, R) is True, (n, ...) each, in single precision."""
        parts = (self.boxes, self.there, self.sure, self.tokens, self.parts)
        return Located(*(part[real].float() for part in parts), tuple(stage[real].float() for stage in self.stages))


class GroundingHead(nn.Module):
    """Locates phrases. A subclass implements `prepare`, `forward` and `shows`.

    It takes `visual_width` (D) and `text_width` as its first keyword arguments. The law: what it says of a phrase
    depends on its image and its words, not on other phrases, images or padding.
    """

    def prepare(self, memory: VisualMemory) -> Any:
        """Once per image -> a `Context` with `places` (B, N, 4), the boxes of the tokens, and `mask` (B, N)."""
        raise NotImplementedError

    def forward(self, context: Any, words: Tensor, real: Tensor) -> Located:
        """words (B, R, T, text width) as a text encoder's `word_states` gives them, real (B, R, T) -> `Located`."""
        raise NotImplementedError

    def shows(self, places: Tensor, boxes: Tensor) -> Tensor:
        """How much a token at each of `places` (n, N, 4) shows of things in `boxes` (n, M, 4) -> (n, N, M) in [0, 1].

        From one half on it shows the thing.
        """
        raise NotImplementedError


@dataclass
class GridContext(Context):
    """Cells aware of each other: as keys and values of every layer, and as what is looked at last."""

    layers: list[KeysValues]  # (B, H, N, d) each
    tokens: Tensor  # (B, N, W)
    keys: Tensor  # (B, N, W)
    fine: Tensor  # (B, N, F) what boxes are looked at again in
    parts: Tensor  # (B, N, F)
    places: Tensor  # (B, N, 4) the tokens' boxes
    mask: Tensor  # (B, N)


class GridGrounding(GroundingHead):
    """Words look at words and at cells; the box is read from a learned place in front of them, in the manner of TransVG
    (Deng et al. 2021, arXiv:2104.08541), and refined by what lies in it.

    There cells and words go through one Transformer together. Here the cells of an image look at each other once for
    all phrases, and the words look at them, so that twenty phrases cost little more than one. Which cells show what is
    meant is learned besides, and of each cell the box of the thing that it shows: several things may be meant, or none.
    Any memory will do: tokens are where their boxes say, or in cells of a square.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        text_width: int,
        width: int = 256,
        layers: int = 2,
        encoder_layers: int = 1,
        heads: int = 8,
        feed_forward: int = 512,
        fine: int = 64,
        refinements: int = 1,
        dropout: float = 0.1,
    ):
        """`refinements`: how often the box is looked at again, by the `fine` numbers that each token has for that."""
        super().__init__()
        if heads < 1 or width % heads:
            raise UserError(f"task.head.heads={heads}: it has to divide task.head.width, which is {width}")
        self.width = width
        self.tokens = Tokens(visual_width, width, dropout, positions=True)
        self.words = nn.Sequential(nn.LayerNorm(text_width), Dropout(dropout), Linear(text_width, width))
        self.answer = nn.Parameter(torch.randn(width) * width**-0.5)
        self.encoder = nn.ModuleList(
            Layer(width, heads, feed_forward, dropout, guided=False) for _ in range(encoder_layers)
        )
        self.layers = nn.ModuleList(Layer(width, heads, feed_forward, dropout, guided=True) for _ in range(layers))
        self.norm, self.token_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.keys = Linear(width, width), Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(1))
        self.seen = Linear(width, width)
        self.box = BoxRegression(width, dropout=dropout)
        self.fine = Linear(width, fine)
        self.look = nn.ModuleList(Linear(fine * CELLS**2 + width, width) for _ in range(refinements))
        self.refine = nn.ModuleList(BoxRegression(width, dropout=dropout) for _ in range(refinements))
        self.sure = nn.Sequential(Linear(2 * width, width), nn.ReLU(), Dropout(dropout), Linear(width, 2))
        self.part_of_token, self.part_of_phrase, self.part = (
            Linear(width, fine),
            Linear(width, fine),
            Linear(fine, 4),
        )

    def prepare(self, memory: VisualMemory) -> GridContext:
        tokens = self.tokens(memory)
        bias = additive_mask(memory.mask, tokens.dtype)[:, None, None]  # (B, 1, 1, N)
        for layer in self.encoder:
            tokens = layer(tokens, bias)
        tokens = self.token_norm(tokens)
        places = grid_cells(memory.mask) if memory.boxes is None else memory.boxes
        return GridContext(
            [layer.guide.keys_values_of(tokens) for layer in self.layers],
            tokens,
            self.keys(tokens),
            self.fine(tokens),
            self.part_of_token(tokens),
            places.float(),
            memory.mask,
        )

    def forward(self, context: GridContext, words: Tensor, real: Tensor) -> Located:
        phrase, scores = self.read(context, words, real)  # (B, R, W), (B, R, N)
        boxes, looked = [self.box(phrase).float()], phrase
        for look, refine in zip(self.look, self.refine, strict=True):
            around = boxes[-1].detach()
            inside = self.inside(context, around).to(phrase.dtype)
            where = box_positions(around, self.width).to(phrase.dtype)
            looked = look(torch.cat([inside, phrase + where], -1)).relu()
            boxes.append(refine(looked, around).float())
        there, sure = self.sure(torch.cat([looked, phrase], -1)).unbind(-1)
        return Located(boxes[-1], there, sure, scores, self.single(context, phrase), tuple(boxes[:-1]))

    def read(self, context: GridContext, words: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """What was read of phrases and seen of them (B, R, W), and which tokens show it (B, R, N)."""
        x = self.words(words).flatten(0, 1)  # (B * R, T, W)
        x = torch.cat([self.answer.to(x.dtype).expand(len(x), 1, -1), x], 1)  # (B * R, 1 + T, W)
        there = torch.cat([real.new_ones(len(x), 1), real.flatten(0, 1)], 1)
        among = additive_mask(there, x.dtype)[:, None, None]
        bias = additive_mask(context.mask, x.dtype)[:, None, None]
        for layer, memory in zip(self.layers, context.layers, strict=True):
            x = layer(x, among, memory, bias, images=len(words))
        phrase = self.norm(x[:, 0]).view(*words.shape[:2], -1)
        scores = self.query(phrase) @ context.keys.transpose(1, 2) * self.width**-0.5 + self.bias
        scores = scores.masked_fill(~context.mask[:, None], torch.finfo(scores.dtype).min)
        return phrase + self.seen(masked_softmax(scores, context.mask[:, None]) @ context.tokens), scores

    def single(self, context: GridContext, phrase: Tensor) -> Tensor:
        """Of each token the box of the thing that it shows: (B, R, W) -> (B, R, N, 4)."""
        moved = self.part((context.parts[:, None] + self.part_of_phrase(phrase)[:, :, None]).relu())
        centres = box_convert(context.places, "xyxy", "cxcywh")[..., :2]
        start = torch.cat([centres, torch.full_like(centres, SINGLE)], -1)
        found = (moved.float() + torch.logit(start, eps=1e-3)[:, None]).sigmoid()
        return box_convert(found, "cxcywh", "xyxy").clamp(0, 1)

    def inside(self, context: GridContext, boxes: Tensor) -> Tensor:
        """What the tokens say inside boxes (B, R, 4), in each of nine parts of them by area -> (B, R, 9 F)."""
        weights = shares_of_tokens(boxes, context.places, context.mask)  # (B, R, 9, N)
        fine = context.fine.to(weights.dtype)
        return (weights.flatten(1, 2) @ fine).view(*boxes.shape[:2], -1)

    def shows(self, places: Tensor, boxes: Tensor) -> Tensor:
        """The share of a cell that lies in a box."""
        low = torch.maximum(places[:, :, None, :2], boxes[:, None, :, :2])
        high = torch.minimum(places[:, :, None, 2:], boxes[:, None, :, 2:])
        area = (places[..., 2:] - places[..., :2]).clamp(min=1e-6).prod(-1)
        return (high - low).clamp(min=0).prod(-1) / area[..., None]
