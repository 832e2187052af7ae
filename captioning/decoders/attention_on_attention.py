"""Attention on attention, AoANet (Huang et al. 2019, arXiv:1908.06954)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, State, StepOutput
from captioning.layers.channel_scale import ChannelScale
from captioning.layers.deviation_norm import NormBy, norm_class
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.lstm import initialise_gates, lstm_cell, start_cell
from captioning.layers.masking import mean_token
from captioning.layers.multi_head_attention import CrossAttention, KeysValues, SelfAttention, additive_mask
from captioning.layers.positions import token_positions
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD


@dataclass
class AttentionOnAttentionContext(Context):
    """Keys and values of the refined tokens, and their mean."""

    tokens: KeysValues  # (B, H, N, d) each
    bias: Tensor  # (B, 1, 1, N)
    mean: Tensor  # (B, W)


@dataclass
class AttentionOnAttentionState(State):
    """The LSTM and what was made of the last look."""

    hidden: Tensor  # (B, R, W)
    cell: Tensor  # (B, R, W)
    attended: Tensor  # (B, R, W)


class Relevance(nn.Module):
    """The paper's second attention: what was attended to counts as far as a gate finds it relevant to the query."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.dropout = Dropout(dropout)
        self.information_gate = Linear(2 * width, 2 * width)

    def forward(self, attended: Tensor, query: Tensor) -> Tensor:
        """(..., W) each -> (..., W)."""
        return F.glu(self.information_gate(self.dropout(torch.cat([attended, query], -1))), -1)


class Refiner(nn.Module):
    """A layer of the encoder: tokens attend to each other and keep what is relevant. There is no feed-forward part.

    Normalised after, or with `pre_norm` before.
    """

    def __init__(
        self, width: int, heads: int, dropout: float, attention_dropout: float, pre_norm: bool, norm: nn.Module
    ):
        super().__init__()
        self.pre_norm = pre_norm
        self.attend = SelfAttention(width, heads, attention_dropout, output=nn.Identity())
        self.relevance = Relevance(width, dropout)
        self.norm = norm

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, N, W), bias (B, 1, 1, N) -> (B, N, W)."""
        if self.pre_norm:
            normalised = self.norm(x)
            return x + self.relevance(self.attend(normalised, bias=bias), normalised)
        return self.norm(x + self.relevance(self.attend(x, bias=bias), x))


class AttentionOnAttention(Decoder[AttentionOnAttentionContext, AttentionOnAttentionState]):
    """An LSTM that looks at refined tokens with many heads, doubts what it saw, and says what is left.

    `attention` is the mean over heads.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        width: int = 1024,
        heads: int = 8,
        refining_layers: int = 6,
        dropout: float = 0.3,
        attention_dropout: float = 0.1,
        token_positions: bool = False,
        pre_norm: bool = False,
        query_norm: bool = False,
        scale_tokens: bool = False,
        norm_eps: float = 1e-5,
        norm_by: NormBy = "variance",
    ):
        """`token_positions` adds where tokens are to what they are, which the paper leaves to the features.

        The authors' code differs from their paper by `pre_norm`, which normalises before each refining layer and after
        the last, `query_norm`, which normalises what the LSTM looks with, and `norm_by` deviation; `scale_tokens` has a
        factor and a shift for each channel of the projected tokens.
        """
        super().__init__()
        norm = norm_class(norm_by, norm_eps)
        self.project = nn.Sequential(Linear(visual_width, width), nn.ReLU(), Dropout(dropout))
        if scale_tokens:
            self.project.append(ChannelScale(width))
        self.refine = nn.ModuleList(
            Refiner(width, heads, dropout, attention_dropout, pre_norm, norm(width)) for _ in range(refining_layers)
        )
        self.refined_norm = norm(width) if pre_norm else nn.Identity()
        self.query_norm = norm(width) if query_norm else nn.Identity()
        self.embed = nn.Embedding(vocabulary_size, width, padding_idx=PAD)
        self.word_gates = Linear(width, 4 * width)
        self.other_gates = Linear(2 * width, 4 * width, bias=False)
        self.cross_attention = CrossAttention(width, heads, attention_dropout, output=nn.Identity())
        self.relevance = Relevance(width, dropout)
        self.predict = Linear(width, vocabulary_size)
        self.dropout = Dropout(dropout)
        self.width, self.token_positions = width, token_positions
        initialise_gates(self.word_gates, self.other_gates)

    def prepare(self, memory: VisualMemory) -> AttentionOnAttentionContext:
        x = self.project(memory.tokens)  # (B, N, W)
        if self.token_positions:
            x = x + token_positions(memory, self.width)
        bias = additive_mask(memory.mask, x.dtype)[:, None, None]
        for layer in self.refine:
            x = layer(x, bias)
        x = self.refined_norm(x)
        mean = mean_token(x, memory.mask)  # (B, W)
        tokens = self.cross_attention.keys_values_of(x)
        return AttentionOnAttentionContext(tokens, additive_mask(memory.mask, tokens[0].dtype)[:, None, None], mean)

    def start(self, context: AttentionOnAttentionContext, rows: int) -> AttentionOnAttentionState:
        nothing = start_cell(context.mean, rows, self.width)
        return AttentionOnAttentionState(nothing, nothing, nothing)

    def advance(
        self, context: AttentionOnAttentionContext, state: AttentionOnAttentionState, given: Tensor
    ) -> tuple[AttentionOnAttentionState, Tensor]:
        """given (B, R, 4W), what the words add to the gates -> the next state, attention (B, R, N)."""
        image = context.mean[:, None] + self.dropout(state.attended)
        gates = given + self.other_gates(torch.cat([image, state.hidden], -1))
        hidden, cell = lstm_cell(gates, state.cell)  # (B, R, W)
        attended, attention = self.cross_attention(
            self.query_norm(hidden), context.tokens, context.bias, need_weights=True
        )
        return AttentionOnAttentionState(hidden, cell, self.relevance(attended, hidden)), attention

    def forward_head(self, features: Tensor) -> Tensor:
        return self.predict(self.dropout(features))

    def step(self, context: AttentionOnAttentionContext, state: AttentionOnAttentionState, words: Tensor) -> StepOutput:
        state, attention = self.advance(context, state, self.word_gates(self.dropout(self.embed(words))))
        return StepOutput(self.forward_head(state.attended), state, attention)

    def forward_features(self, context: AttentionOnAttentionContext, words: Tensor) -> DecoderFeatures:
        given = self.word_gates(self.dropout(self.embed(words)))  # (B, R, T, 4W)
        state, trace = self.start(context, words.shape[1]), []
        for now in given.unbind(2):
            state, attention = self.advance(context, state, now)
            trace.append((state.attended, attention))
        seen, attention = (torch.stack(part, 2) for part in zip(*trace, strict=True))  # (B, R, T, .)
        return DecoderFeatures(seen, attention)
