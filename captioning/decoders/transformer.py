"""A pre-norm Transformer (Vaswani et al. 2017, arXiv:1706.03762) that writes what its image's tokens say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, StepOutput
from captioning.decoders.word_state import WordState
from captioning.layers.dropout import Dropout
from captioning.layers.key_value_cache import WordCache
from captioning.layers.linear import Linear
from captioning.layers.multi_head_attention import CrossAttention, KeysValues, SelfAttention, additive_mask
from captioning.layers.positions import WordPositions, token_positions
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD


@dataclass
class TransformerContext(Context):
    """Keys and values of the image's tokens for every layer."""

    tokens: list[KeysValues]  # one a layer, (B, H, N, d) each
    bias: Tensor  # (B, 1, 1, N)


def feed_forward(width: int, hidden: int, dropout: float) -> nn.Sequential:
    """Two layers with a ReLU between, the same for every place."""
    layers = nn.Sequential(Linear(width, hidden), nn.ReLU(), Dropout(dropout), Linear(hidden, width))
    for layer in (layers[0], layers[-1]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return layers


def scale_residual_init_(outputs: list[nn.Linear]) -> None:
    """Initialises the last layers of all residual branches so that their sum is no larger than one of them."""
    for output in outputs:
        nn.init.xavier_uniform_(output.weight, gain=len(outputs) ** -0.5)
        nn.init.zeros_(output.bias)


class EncoderLayer(nn.Module):
    """Visual tokens look at each other."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.attend, self.attend_norm = SelfAttention(width, heads, dropout), nn.LayerNorm(width)
        self.feed_forward, self.feed_forward_norm = feed_forward(width, hidden, dropout), nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, N, W), bias (B, 1, 1, N) -> (B, N, W)."""
        x = x + self.dropout(self.attend(self.attend_norm(x), bias=bias))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class VisualEncoder(nn.Module):
    """Tokens of any encoder as the decoder wants them: in its width, with their places, aware of each other."""

    def __init__(
        self,
        visual_width: int,
        width: int,
        *,
        layers: int,
        heads: int,
        feed_forward: int,
        dropout: float,
        token_positions: bool,
    ):
        super().__init__()
        # encoders differ in scale by orders of magnitude, which places of unit size must not be lost under
        self.project = nn.Sequential(nn.LayerNorm(visual_width), Linear(visual_width, width))
        self.layers = nn.ModuleList(EncoderLayer(width, heads, feed_forward, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.width, self.token_positions = width, token_positions
        nn.init.xavier_uniform_(self.project[1].weight)
        scale_residual_init_(
            [output for layer in self.layers for output in (layer.attend.output, layer.feed_forward[-1])]
        )

    def forward(self, memory: VisualMemory) -> Tensor:
        """-> (B, N, W)."""
        x = self.project(memory.tokens)
        if self.token_positions:
            x = x + token_positions(memory, self.width)
        x = self.dropout(x)
        bias = additive_mask(memory.mask, x.dtype)[:, None, None]
        for layer in self.layers:
            x = layer(x, bias)
        return self.norm(x)


class DecoderLayer(nn.Module):
    """Words look at the words before them, then at the image, then feed_forward."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.self_attention, self.self_attention_norm = SelfAttention(width, heads, dropout), nn.LayerNorm(width)
        self.cross_attention, self.cross_attention_norm = CrossAttention(width, heads, dropout), nn.LayerNorm(width)
        self.feed_forward, self.feed_forward_norm = feed_forward(width, hidden, dropout), nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def heard(self, x: Tensor) -> Tensor:
        """Whole captions: x (B, R, T, W) -> (B, R, T, W)."""
        words = self.self_attention(self.self_attention_norm(x).flatten(0, 1), causal=True)
        return x + self.dropout(words.view_as(x))

    def heard_next(self, x: Tensor, cache: WordCache, layer: int, bias: Tensor) -> Tensor:
        """The newest words: x (B, R, W), bias (B, 1, R, S) -> (B, R, W)."""
        return x + self.dropout(self.self_attention.step(self.self_attention_norm(x), cache, layer, bias))

    def seen(self, x: Tensor, memory: KeysValues, bias: Tensor, need_weights: bool) -> tuple[Tensor, Tensor | None]:
        """x (B, R, W) or (B, R, T, W) -> the same shape, and attention (B, R[, T], N) if `weigh`."""
        seen, attention = self.cross_attention(self.cross_attention_norm(x), memory, bias, need_weights)
        x = x + self.dropout(seen)
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x))), attention


class Transformer(Decoder):
    """Self-attention over words, cross-attention to tokens, feed-forward; normalised before each, not after.

    The places of tokens are added to them as sinusoids: of boxes where the memory has boxes, of times where it has
    times, of the cells of a grid where it has neither. `attention` is that of the last layer, averaged over heads.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        width: int = 512,
        layers: int = 6,
        heads: int = 8,
        feed_forward: int = 2048,
        encoder_layers: int = 0,
        dropout: float = 0.1,
        positions: Literal["sinusoidal", "learned"] = "sinusoidal",
        longest: int = 64,
        token_positions: bool = True,
        tied: bool = False,
    ):
        """`longest` bounds learned positions of words; `tied` makes the embedding of words their output layer too."""
        super().__init__()
        self.encode = VisualEncoder(
            visual_width,
            width,
            layers=encoder_layers,
            heads=heads,
            feed_forward=feed_forward,
            dropout=dropout,
            token_positions=token_positions,
        )
        self.embed = nn.Embedding(vocabulary_size, width, padding_idx=PAD)
        self.positions = WordPositions(width, positions, longest)
        self.layers = nn.ModuleList(DecoderLayer(width, heads, feed_forward, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.predict = None if tied else Linear(width, vocabulary_size)
        self.tied_bias = nn.Parameter(torch.zeros(vocabulary_size)) if tied else None
        self.dropout = Dropout(dropout)
        self.initialise()

    def initialise(self) -> None:
        """Words of unit size once scaled by sqrt(W), like their places; logits near zero at first."""
        nn.init.normal_(self.embed.weight, std=self.embed.embedding_dim**-0.5)
        nn.init.zeros_(self.embed.weight[PAD])
        if self.predict is not None:
            nn.init.normal_(self.predict.weight, std=0.02)
            nn.init.zeros_(self.predict.bias)
        scale_residual_init_(
            [
                out
                for each in self.layers
                for out in (each.self_attention.output, each.cross_attention.output, each.feed_forward[-1])
            ]
        )

    def prepare(self, memory: VisualMemory) -> TransformerContext:
        tokens = self.encode(memory)  # (B, N, W)
        remembered = [layer.cross_attention.keys_values_of(tokens) for layer in self.layers]
        return TransformerContext(remembered, additive_mask(memory.mask, remembered[0][0].dtype)[:, None, None])

    def read(self, words: Tensor, begin: int, end: int) -> Tensor:
        """words (B, R) at one place or (B, R, T) at several -> (B, R[, T], W)."""
        scaled = self.embed(words) * math.sqrt(self.embed.embedding_dim)
        return self.dropout(scaled + self.positions(begin, end, words.device))

    def forward_head(self, features: Tensor) -> Tensor:
        features = self.norm(features)
        if self.predict is None:
            return F.linear(features, self.embed.weight, self.tied_bias)
        return self.predict(features)

    def forward_features(self, context: TransformerContext, words: Tensor) -> DecoderFeatures:
        x, attention = self.read(words, 0, words.shape[-1]), None  # (B, R, T, W)
        for layer, tokens in zip(self.layers, context.tokens, strict=True):
            x, attention = layer.seen(layer.heard(x), tokens, context.bias, layer is self.layers[-1])
        return DecoderFeatures(x, attention)

    def start(self, context: TransformerContext, rows: int) -> WordState:
        return WordState.empty(len(context.bias), rows, len(self.layers), context.bias.device)

    def step(self, context: TransformerContext, state: WordState, words: Tensor) -> StepOutput:
        x, attention = self.read(words, state.length, state.length + 1), None  # (B, R, W)
        state = state.said()
        bias = additive_mask(state.seen, context.bias.dtype)[:, None]  # (B, 1, R, S)
        for i, (layer, tokens) in enumerate(zip(self.layers, context.tokens, strict=True)):
            x = layer.heard_next(x, state.cache, i, bias)
            x, attention = layer.seen(x, tokens, context.bias, layer is self.layers[-1])
        return StepOutput(self.forward_head(x), state, attention)
