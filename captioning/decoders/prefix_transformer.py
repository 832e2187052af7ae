"""A Transformer whose prefix is the image (GIT, Wang et al. 2022, arXiv:2205.14100): one attention for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, StepOutput
from captioning.decoders.transformer import Norm, feed_forward, project_tokens
from captioning.decoders.word_state import WordState
from captioning.layers.deviation_norm import norm_class
from captioning.layers.dropout import Dropout
from captioning.layers.key_value_cache import WordCache
from captioning.layers.linear import Linear
from captioning.layers.multi_head_attention import KeysValues, SelfAttention, additive_mask, merge_heads
from captioning.layers.positions import WordPositions
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD


@dataclass
class PrefixContext(Context):
    """Keys and values of the image's tokens in every layer, which no word changes."""

    tokens: list[KeysValues]  # one a layer, (B, H, N, d) each
    bias: Tensor  # (B, 1, 1, N)


class PrefixLayer(nn.Module):
    """Tokens look at tokens; words look at tokens and at the words before them, in one softmax. Then feed-forward."""

    def __init__(
        self, width: int, heads: int, hidden: int, dropout: float, *, activation: str, pre_norm: bool, norm: Norm
    ):
        super().__init__()
        self.self_attention, self.self_attention_norm = SelfAttention(width, heads, dropout), norm(width)
        self.feed_forward, self.feed_forward_norm = feed_forward(width, hidden, dropout, activation), norm(width)
        self.dropout, self.pre_norm = Dropout(dropout), pre_norm

    def before(self, norm: nn.LayerNorm, x: Tensor) -> Tensor:
        return norm(x) if self.pre_norm else x

    def after(self, norm: nn.LayerNorm, x: Tensor, made: Tensor) -> Tensor:
        x = x + self.dropout(made)
        return x if self.pre_norm else norm(x)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """What follows the attention."""
        x = self.after(self.self_attention_norm, x, attended)
        return self.after(self.feed_forward_norm, x, self.feed_forward(self.before(self.feed_forward_norm, x)))

    def tokens(self, x: Tensor, bias: Tensor) -> tuple[Tensor, KeysValues]:
        """x (B, N, W), bias (B, 1, 1, N) -> (B, N, W), and keys and values for the words."""
        attention = self.self_attention
        queries, keys, values = attention.project(self.before(self.self_attention_norm, x))
        return self.finish(x, attention.attend(queries, keys, values, attn_mask=bias)), (
            keys.contiguous(),
            values.contiguous(),
        )

    def words(self, x: Tensor, seen: KeysValues, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Whole captions: x (B, R, T, W), bias (B, 1, 1, N) -> (B, R, T, W), attention to the image (B, R, T, N)."""
        images, rows, length, _ = x.shape
        queries, keys, values = (
            part.unflatten(0, (images, rows)).transpose(1, 2)  # (B, H, R, T, d)
            for part in self.self_attention.project(self.before(self.self_attention_norm, x).flatten(0, 1))
        )
        queries = queries * queries.shape[-1] ** -0.5
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        own = (queries @ keys.transpose(-1, -2)).masked_fill(later, -torch.inf)  # (B, H, R, T, T)
        image = (queries.flatten(2, 3) @ seen[0].transpose(-1, -2) + bias).unflatten(2, (rows, length))
        weights = torch.cat([image, own], -1).softmax(-1)
        tokens = weights.shape[-1] - length
        dropped = self.dropout(weights)
        attended = (dropped[..., :tokens].flatten(2, 3) @ seen[1]).unflatten(2, (rows, length))
        attended = attended + dropped[..., tokens:] @ values  # (B, H, R, T, d)
        attended = self.self_attention.output(attended.permute(0, 2, 3, 1, 4).flatten(3))
        return self.finish(x, attended), shares(weights[..., :tokens].mean(1))

    def next_words(
        self, x: Tensor, seen: KeysValues, bias: Tensor, cache: WordCache, layer: int, own_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The newest words: x (B, R, W), own_bias (B, 1, R, S) -> (B, R, W), attention to the image (B, R, N)."""
        queries, keys, values = self.self_attention.project(self.before(self.self_attention_norm, x))
        keys, values = cache.append(layer, keys, values)  # (B, H, S, d)
        queries = queries * queries.shape[-1] ** -0.5
        image = queries @ seen[0].transpose(-1, -2) + bias  # (B, H, R, N)
        weights = torch.cat([image, queries @ keys.transpose(-1, -2) + own_bias], -1).softmax(-1)
        tokens, dropped = image.shape[-1], self.dropout(weights)
        attended = merge_heads(dropped[..., :tokens] @ seen[1] + dropped[..., tokens:] @ values)  # (B, R, W)
        return self.finish(x, self.self_attention.output(attended)), shares(weights[..., :tokens].mean(1))


def shares(weights: Tensor) -> Tensor:
    """weights (..., N) that fell on the image beside words -> the share of each token, summing to one."""
    return weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


class PrefixTransformer(Decoder[PrefixContext, WordState]):
    """One stack of self-attention for image and words; the image's half of it is computed once, and never copied.

    `attention` is that of the last layer, averaged over heads, as shares of what fell on the image.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        width: int = 768,
        layers: int = 6,
        heads: int = 12,
        feed_forward: int = 3072,
        dropout: float = 0.1,
        longest: int = 1024,
        projection: Literal["normalised", "rectified", "linear", "linear_normalised", "none"] = "linear_normalised",
        pre_norm: bool = False,
        activation: Literal["relu", "gelu", "gelu_tanh"] = "gelu",
        norm_eps: float = 1e-12,
        projection_eps: float = 1e-5,
    ):
        """Options are those of `Transformer`; `longest` bounds the learned positions of words."""
        super().__init__()
        norm = norm_class("variance", norm_eps)
        self.project = project_tokens(visual_width, width, projection, dropout, norm_class("variance", projection_eps))
        self.embed = nn.Embedding(vocabulary_size, width, padding_idx=PAD)
        self.positions = WordPositions(width, "learned", longest)
        self.embedding_norm = norm(width)
        self.layers = nn.ModuleList(
            PrefixLayer(width, heads, feed_forward, dropout, activation=activation, pre_norm=pre_norm, norm=norm)
            for _ in range(layers)
        )
        self.predict = Linear(width, vocabulary_size)
        self.dropout = Dropout(dropout)
        nn.init.normal_(self.embed.weight, std=0.02)
        nn.init.zeros_(self.embed.weight[PAD])
        nn.init.normal_(self.predict.weight, std=0.02)

    def prepare(self, memory: VisualMemory) -> PrefixContext:
        x, tokens = self.project(memory.tokens), []  # (B, N, W)
        bias = additive_mask(memory.mask, x.dtype)[:, None, None]
        for layer in self.layers:
            x, remembered = layer.tokens(x, bias)
            tokens.append(remembered)
        return PrefixContext(tokens, additive_mask(memory.mask, tokens[0][0].dtype)[:, None, None])

    def read(self, words: Tensor, begin: int, end: int) -> Tensor:
        """words (B, R) at one place or (B, R, T) at several -> (B, R[, T], W)."""
        return self.dropout(self.embedding_norm(self.embed(words) + self.positions(begin, end, words.device)))

    def forward_features(self, context: PrefixContext, words: Tensor) -> DecoderFeatures:
        x, attention = self.read(words, 0, words.shape[-1]), None  # (B, R, T, W)
        for layer, tokens in zip(self.layers, context.tokens, strict=True):
            x, attention = layer.words(x, tokens, context.bias)
        return DecoderFeatures(x, attention)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.predict(features)

    def start(self, context: PrefixContext, rows: int) -> WordState:
        return WordState.empty(len(context.bias), rows, len(self.layers), context.bias.device)

    def step(self, context: PrefixContext, state: WordState, words: Tensor) -> StepOutput:
        x, attention = self.read(words, state.length, state.length + 1), None  # (B, R, W)
        state = state.advanced()
        bias = additive_mask(state.history, context.bias.dtype)[:, None]  # (B, 1, R, S)
        for i, (layer, tokens) in enumerate(zip(self.layers, context.tokens, strict=True)):
            x, attention = layer.next_words(x, tokens, context.bias, state.cache, i, bias)
        return StepOutput(self.forward_head(x), state, attention)
