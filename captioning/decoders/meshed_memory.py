"""The Meshed-Memory Transformer (Cornia et al. 2020, arXiv:1912.08226)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, StepOutput
from captioning.decoders.transformer import feed_forward
from captioning.decoders.word_state import WordState
from captioning.errors import UserError
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.multi_head_attention import (
    CrossAttention,
    KeysValues,
    SelfAttention,
    additive_mask,
    split_heads,
    unweighed,
    weighed,
)
from captioning.layers.positions import WordPositions, token_positions
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD


@dataclass
class MeshedMemoryContext(Context):
    """Keys and values of the image's tokens at every level of the encoder, for every layer of the decoder."""

    tokens: list[KeysValues]  # one a layer, (B, levels*H, N', d) each, N' at least N
    bias: Tensor  # (B, 1, 1, N')
    mask: Tensor  # (B, N)


class MemoryAttention(SelfAttention):
    """Tokens attend to each other and to learned slots, which hold what is known before any image is seen."""

    def __init__(self, width: int, heads: int, slots: int, dropout: float):
        super().__init__(width, heads, dropout)
        self.slot_keys = nn.Parameter(torch.randn(slots, width) * (width // heads) ** -0.5)
        self.slot_values = nn.Parameter(torch.randn(slots, width) * slots**-0.5)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, N, W), bias (B, 1, 1, N) -> (B, N, W)."""
        queries, *found = self.project(x)
        learned = (
            split_heads(slots.expand(len(x), -1, -1), self.heads) for slots in (self.slot_keys, self.slot_values)
        )
        keys, values = (torch.cat(both, 2) for both in zip(found, learned, strict=True))  # (B, H, N + slots, d)
        return self.attend(queries, keys, values, attn_mask=F.pad(bias, (0, len(self.slot_keys))))


class EncoderLayer(nn.Module):
    """Attention with memory, then feed-forward, each added to what it read and normalised after."""

    def __init__(self, width: int, heads: int, slots: int, hidden: int, dropout: float):
        super().__init__()
        self.attend, self.attend_norm = MemoryAttention(width, heads, slots, dropout), nn.LayerNorm(width)
        self.feed_forward, self.feed_forward_norm = feed_forward(width, hidden, dropout), nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.attend_norm(x + self.dropout(self.attend(x, bias)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class MeshedAttention(CrossAttention):
    """Attention to all levels of the encoder with the same weights; a gate for each level says how much it counts.

    With `norm_levels` what a level gives is added to the query and normalised before its gate.
    """

    def __init__(self, width: int, heads: int, levels: int, dropout: float, norm_levels: bool):
        super().__init__(width, heads, dropout)
        self.levels = levels
        self.level_norm = nn.LayerNorm(width) if norm_levels else None
        self.level_dropout = Dropout(dropout)
        self.gates = nn.ModuleList(Linear(2 * width, width) for _ in range(levels))

    def keys_values_of(self, tokens: list[Tensor]) -> KeysValues:
        """tokens (B, N, W) of each level -> keys and values (B, levels*H, N, d): a level is so many heads more."""
        return tuple(torch.cat(part, 1) for part in zip(*map(super().keys_values_of, tokens), strict=True))

    def forward(
        self, x: Tensor, memory: KeysValues, bias: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """As `CrossAttention.forward`; the attention is the mean over levels too."""
        queries = split_heads(self.query(x).flatten(1, -2), self.heads).repeat(1, self.levels, 1, 1)
        seen, attention = (weighed if need_weights else unweighed)(queries, memory, bias, self.dropout)
        seen = self.output(seen.unflatten(-1, (self.levels, -1))).view(*x.shape[:-1], self.levels, -1)
        if self.level_norm is not None:
            seen = self.level_norm(x[..., None, :] + self.level_dropout(seen))
        # divided by sqrt(levels) so that the sum of all levels is of the size of one
        mesh = (
            sum(
                torch.sigmoid(gate(torch.cat([x, level], -1))) * level
                for gate, level in zip(self.gates, seen.unbind(-2), strict=True)
            )
            / self.levels**0.5
        )
        return mesh, attention if attention is None else attention.view(*x.shape[:-1], -1)


class DecoderLayer(nn.Module):
    """Words look at the words before them, at the image on every level, then feed_forward; normalised after each.

    With `norm_levels` the levels are normalised each for itself, and not their sum.
    """

    def __init__(self, width: int, heads: int, levels: int, hidden: int, dropout: float, norm_levels: bool):
        super().__init__()
        self.norm_levels = norm_levels
        self.self_attention, self.self_attention_norm = SelfAttention(width, heads, dropout), nn.LayerNorm(width)
        self.cross_attention, self.cross_attention_norm = (
            MeshedAttention(width, heads, levels, dropout, norm_levels),
            nn.Identity() if norm_levels else nn.LayerNorm(width),
        )
        self.feed_forward, self.feed_forward_norm = feed_forward(width, hidden, dropout), nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(
        self, x: Tensor, attended: Tensor, memory: KeysValues, bias: Tensor, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, R[, T], W) and what `self_attention` made of it -> as x, and attention (B, R[, T], N) if
        `need_weights`."""
        x = self.self_attention_norm(x + self.dropout(attended))
        seen, attention = self.cross_attention(x, memory, bias, need_weights)
        x = seen if self.norm_levels else self.cross_attention_norm(x + self.dropout(seen))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x))), attention


class MeshedMemory(Decoder[MeshedMemoryContext, WordState]):
    """A post-norm Transformer whose encoder remembers, and whose decoder reads every level of it.

    `attention` is that of the last layer, averaged over heads and levels.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        width: int = 512,
        layers: int = 3,
        encoder_layers: int = 3,
        heads: int = 8,
        slots: int = 40,
        feed_forward: int = 2048,
        dropout: float = 0.1,
        token_positions: bool = False,
        norm: Literal["mesh", "levels"] = "mesh",
        positions: Literal["sinusoidal", "learned"] = "sinusoidal",
        longest: int = 64,
        zero_tokens: int = 0,
    ):
        """`slots` of memory an encoder layer; `token_positions` adds where tokens are, which the paper does not.

        `norm`: what is normalised is the sum of all levels, as in the paper, or each level before its gate, as in the
        authors' code. `longest` bounds learned positions of words. `zero_tokens`: images of fewer tokens are filled up
        to so many with zeros that are looked at like others, which is what the authors trained with.
        """
        if norm not in ("mesh", "levels"):
            raise UserError(f"decoder.norm is {norm!r}: it is mesh or levels")
        super().__init__()
        self.project = nn.Sequential(Linear(visual_width, width), nn.ReLU(), Dropout(dropout), nn.LayerNorm(width))
        self.encode = nn.ModuleList(
            EncoderLayer(width, heads, slots, feed_forward, dropout) for _ in range(encoder_layers)
        )
        self.embed = nn.Embedding(vocabulary_size, width, padding_idx=PAD)
        self.positions = WordPositions(width, positions, longest)
        self.layers = nn.ModuleList(
            DecoderLayer(width, heads, encoder_layers, feed_forward, dropout, norm == "levels") for _ in range(layers)
        )
        self.predict = Linear(width, vocabulary_size)
        self.dropout = Dropout(dropout)
        self.width, self.token_positions, self.zero_tokens = width, token_positions, zero_tokens

    def prepare(self, memory: VisualMemory) -> MeshedMemoryContext:
        tokens, mask = memory.tokens, memory.mask
        if self.zero_tokens:
            more = max(0, self.zero_tokens - mask.shape[1])
            tokens = F.pad(tokens * mask[..., None], (0, 0, 0, more))  # (B, N', D)
            mask = F.pad(mask, (0, more))
            mask = mask | (torch.arange(mask.shape[1], device=mask.device) < self.zero_tokens)
        x = self.project(tokens)  # (B, N', W)
        if self.token_positions:
            places = token_positions(memory, self.width)
            x = x + F.pad(places, (0, 0, 0, x.shape[1] - places.shape[1]))
        bias, levels = additive_mask(mask, x.dtype)[:, None, None], []
        for layer in self.encode:
            x = layer(x, bias)
            levels.append(x)
        tokens = [layer.cross_attention.keys_values_of(levels) for layer in self.layers]
        return MeshedMemoryContext(tokens, additive_mask(mask, tokens[0][0].dtype)[:, None, None], memory.mask)

    def shown(self, attention: Tensor, context: MeshedMemoryContext) -> Tensor:
        """attention (B, R[, T], N') -> what of it fell on the real tokens, (B, R[, T], N)."""
        if not self.zero_tokens:
            return attention
        real = context.mask.view(len(context.mask), *[1] * (attention.dim() - 2), -1)
        attention = attention[..., : real.shape[-1]] * real
        return attention / attention.sum(-1, keepdim=True).clamp(min=torch.finfo(attention.dtype).tiny)

    def read(self, words: Tensor, begin: int, end: int) -> Tensor:
        """words (B, R) at one place or (B, R, T) at several -> (B, R[, T], W)."""
        return self.dropout(self.embed(words) + self.positions(begin, end, words.device))

    def forward_features(self, context: MeshedMemoryContext, words: Tensor) -> DecoderFeatures:
        x, attention = self.read(words, 0, words.shape[-1]), None  # (B, R, T, W)
        for layer, tokens in zip(self.layers, context.tokens, strict=True):
            attended = layer.self_attention(x.flatten(0, 1), causal=True).view_as(x)
            x, attention = layer(x, attended, tokens, context.bias, layer is self.layers[-1])
        return DecoderFeatures(x, self.shown(attention, context))

    def forward_head(self, features: Tensor) -> Tensor:
        return self.predict(features)

    def start(self, context: MeshedMemoryContext, rows: int) -> WordState:
        return WordState.empty(len(context.bias), rows, len(self.layers), context.bias.device)

    def step(self, context: MeshedMemoryContext, state: WordState, words: Tensor) -> StepOutput:
        x, attention = self.read(words, state.length, state.length + 1), None  # (B, R, W)
        state = state.advanced()
        bias = additive_mask(state.history, context.bias.dtype)[:, None]  # (B, 1, R, S)
        for i, (layer, tokens) in enumerate(zip(self.layers, context.tokens, strict=True)):
            attended = layer.self_attention.step(x, state.cache, i, bias)
            x, attention = layer(x, attended, tokens, context.bias, layer is self.layers[-1])
        return StepOutput(self.forward_head(x), state, self.shown(attention, context))
