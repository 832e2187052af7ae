"""The Transformer (Vaswani et al. 2017, arXiv:1706.03762) that writes what its image's tokens say."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, StepOutput
from captioning.decoders.word_state import WordState
from captioning.errors import UserError
from captioning.layers.channel_scale import ChannelScale
from captioning.layers.deviation_norm import NormBy, norm_class
from captioning.layers.dropout import Dropout
from captioning.layers.key_value_cache import WordCache
from captioning.layers.linear import Linear
from captioning.layers.multi_head_attention import CrossAttention, KeysValues, SelfAttention, additive_mask
from captioning.layers.positions import WordPositions, token_positions
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD

Norm = Callable[[int], nn.LayerNorm]
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "gelu_tanh": partial(nn.GELU, approximate="tanh")}
PROJECTIONS = ("normalised", "rectified", "rectified_scaled", "linear", "linear_normalised", "none")


@dataclass
class TransformerContext(Context):
    """Keys and values of the image's tokens for every layer."""

    tokens: list[KeysValues]  # one a layer, (B, H, N, d) each
    bias: Tensor  # (B, 1, 1, N)


def feed_forward(width: int, hidden: int, dropout: float, activation: str = "relu") -> nn.Sequential:
    """Two layers with a ReLU between, or another of `ACTIVATIONS`, the same for every place."""
    if activation not in ACTIVATIONS:
        raise UserError(f"decoder.activation is {activation!r}: it is one of {', '.join(ACTIVATIONS)}")
    layers = nn.Sequential(Linear(width, hidden), ACTIVATIONS[activation](), Dropout(dropout), Linear(hidden, width))
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

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, norm: Norm = nn.LayerNorm):
        super().__init__()
        self.attend, self.attend_norm = SelfAttention(width, heads, dropout), norm(width)
        self.feed_forward, self.feed_forward_norm = feed_forward(width, hidden, dropout), norm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, N, W), bias (B, 1, 1, N) -> (B, N, W)."""
        x = x + self.dropout(self.attend(self.attend_norm(x), bias=bias))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


def project_tokens(visual_width: int, width: int, kind: str, dropout: float, norm: Norm) -> nn.Module:
    """From the encoder's width to the decoder's.

    "normalised" first, then a linear layer: encoders differ in scale by orders of magnitude, which places of unit size
    must not be lost under. "rectified": a linear layer, then a ReLU; "rectified_scaled": then a factor and a
    shift for each channel. "linear": that layer alone; "linear_normalised":
    with a norm after it. "none": tokens stay what they are.
    """
    if kind not in PROJECTIONS:
        raise UserError(f"decoder.projection is {kind!r}: it is one of {', '.join(PROJECTIONS)}")
    if kind == "none":
        return nn.Identity()
    if kind == "normalised":
        layers = nn.Sequential(norm(visual_width), Linear(visual_width, width))
    else:
        after = {"rectified": [nn.ReLU(), Dropout(dropout)], "linear_normalised": [norm(width)]}
        after["rectified_scaled"] = [nn.ReLU(), Dropout(dropout), ChannelScale(width)]
        layers = nn.Sequential(Linear(visual_width, width), *after.get(kind, ()))
    nn.init.xavier_uniform_(next(layer for layer in layers if isinstance(layer, Linear)).weight)
    return layers


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
        projection: str = "normalised",
        final_norm: bool = True,
        norm: Norm = nn.LayerNorm,
    ):
        """`projection` as `project_tokens` has it; `final_norm` ends the layers with a norm; `norm` makes norms."""
        super().__init__()
        self.project = project_tokens(visual_width, width, projection, dropout, norm)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, feed_forward, dropout, norm) for _ in range(layers))
        self.norm = norm(width) if final_norm else nn.Identity()
        self.dropout = Dropout(dropout)
        self.width, self.token_positions = width, token_positions
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
    """Words look at the words before them, then at the image, then feed_forward.

    What each part reads is normalised, or, without `pre_norm`, what it makes.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float,
        *,
        token_width: int,
        activation: str,
        pre_norm: bool,
        norm: Norm,
    ):
        super().__init__()
        self.self_attention, self.self_attention_norm = SelfAttention(width, heads, dropout), norm(width)
        self.cross_attention = CrossAttention(width, heads, dropout, token_width=token_width)
        self.cross_attention_norm = norm(width)
        self.feed_forward, self.feed_forward_norm = feed_forward(width, hidden, dropout, activation), norm(width)
        self.dropout, self.pre_norm = Dropout(dropout), pre_norm

    def before(self, norm: nn.LayerNorm, x: Tensor) -> Tensor:
        """What a part of the layer reads."""
        return norm(x) if self.pre_norm else x

    def after(self, norm: nn.LayerNorm, x: Tensor, made: Tensor) -> Tensor:
        """What a part of the layer made, added to what was there."""
        x = x + self.dropout(made)
        return x if self.pre_norm else norm(x)

    def self_attend(self, x: Tensor) -> Tensor:
        """Whole captions: x (B, R, T, W) -> (B, R, T, W)."""
        words = self.self_attention(self.before(self.self_attention_norm, x).flatten(0, 1), causal=True)
        return self.after(self.self_attention_norm, x, words.view_as(x))

    def self_attend_next(self, x: Tensor, cache: WordCache, layer: int, bias: Tensor) -> Tensor:
        """The newest words: x (B, R, W), bias (B, 1, R, S) -> (B, R, W)."""
        words = self.self_attention.step(self.before(self.self_attention_norm, x), cache, layer, bias)
        return self.after(self.self_attention_norm, x, words)

    def cross_attend(
        self, x: Tensor, memory: KeysValues, bias: Tensor, need_weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, R, W) or (B, R, T, W) -> the same shape, and attention (B, R[, T], N) if `need_weights`."""
        read = self.before(self.cross_attention_norm, x)
        seen, attention = self.cross_attention(read, memory, bias, need_weights)
        x = self.after(self.cross_attention_norm, x, seen)
        made = self.feed_forward(self.before(self.feed_forward_norm, x))
        return self.after(self.feed_forward_norm, x, made), attention


class Transformer(Decoder[TransformerContext, WordState]):
    """Self-attention over words, cross-attention to tokens, feed-forward; normalised before each, or after.

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
        projection: Literal[
            "normalised", "rectified", "rectified_scaled", "linear", "linear_normalised", "none"
        ] = "normalised",
        pre_norm: bool = True,
        activation: Literal["relu", "gelu", "gelu_tanh"] = "relu",
        scaled: bool = True,
        embedding_norm: bool = False,
        final_norm: bool = True,
        token_norm: bool = True,
        head_transform: bool = False,
        norm_eps: float = 1e-5,
        norm_by: NormBy = "variance",
    ):
        """`longest` bounds learned positions of words; `tied` makes the embedding of words their output layer too.

        The rest are what published models differ by. `projection` of tokens: see `project_tokens`; `token_norm`: a norm
        after the encoder's layers. `pre_norm`: normalised before each part and, by `final_norm`, after the last one;
        else after each. `activation` is that of the feed-forward part. Embeddings of words are multiplied by sqrt(W)
        if `scaled`, and with their places normalised by `embedding_norm`. `head_transform` is BERT's layer before the
        output. Layer norms divide by the root of the variance plus `norm_eps`, or by the deviation, as `norm_by` says.
        """
        super().__init__()
        norm = norm_class(norm_by, norm_eps)
        self.encode = VisualEncoder(
            visual_width,
            width,
            layers=encoder_layers,
            heads=heads,
            feed_forward=feed_forward,
            dropout=dropout,
            token_positions=token_positions,
            projection=projection,
            final_norm=token_norm,
            norm=norm,
        )
        self.embed = nn.Embedding(vocabulary_size, width, padding_idx=PAD)
        self.positions = WordPositions(width, positions, longest)
        options = {"activation": activation, "pre_norm": pre_norm, "norm": norm}
        options["token_width"] = visual_width if projection == "none" else width
        self.layers = nn.ModuleList(DecoderLayer(width, heads, feed_forward, dropout, **options) for _ in range(layers))
        self.embedding_norm = norm(width) if embedding_norm else nn.Identity()
        self.norm = norm(width) if final_norm else nn.Identity()
        self.head_transform = nn.Identity()
        if head_transform:
            self.head_transform = nn.Sequential(Linear(width, width), ACTIVATIONS[activation](), norm(width))
        self.predict = None if tied else Linear(width, vocabulary_size)
        self.tied_bias = nn.Parameter(torch.zeros(vocabulary_size)) if tied else None
        self.dropout, self.scale = Dropout(dropout), math.sqrt(width) if scaled else 1.0
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
        embedded = self.embed(words) * self.scale + self.positions(begin, end, words.device)
        return self.dropout(self.embedding_norm(embedded))

    def forward_head(self, features: Tensor) -> Tensor:
        features = self.head_transform(self.norm(features))
        if self.predict is None:
            return F.linear(features, self.embed.weight, self.tied_bias)
        return self.predict(features)

    def forward_features(self, context: TransformerContext, words: Tensor) -> DecoderFeatures:
        x, attention = self.read(words, 0, words.shape[-1]), None  # (B, R, T, W)
        for layer, tokens in zip(self.layers, context.tokens, strict=True):
            x, attention = layer.cross_attend(layer.self_attend(x), tokens, context.bias, layer is self.layers[-1])
        return DecoderFeatures(x, attention)

    def start(self, context: TransformerContext, rows: int) -> WordState:
        return WordState.empty(len(context.bias), rows, len(self.layers), context.bias.device)

    def step(self, context: TransformerContext, state: WordState, words: Tensor) -> StepOutput:
        x, attention = self.read(words, state.length, state.length + 1), None  # (B, R, W)
        state = state.advanced()
        bias = additive_mask(state.history, context.bias.dtype)[:, None]  # (B, 1, R, S)
        for i, (layer, tokens) in enumerate(zip(self.layers, context.tokens, strict=True)):
            x = layer.self_attend_next(x, state.cache, i, bias)
            x, attention = layer.cross_attend(x, tokens, context.bias, layer is self.layers[-1])
        return StepOutput(self.forward_head(x), state, attention)
