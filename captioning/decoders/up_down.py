"""Up-Down, bottom-up and top-down attention (Anderson et al. 2018, arXiv:1707.07998)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, State, StepOutput
from captioning.errors import UserError
from captioning.layers.additive_attention import AdditiveAttention
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.lstm import initialise_gates, lstm_cell, start_cell
from captioning.layers.masking import mean_token
from captioning.layers.positions import token_positions
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD


@dataclass
class UpDownContext(Context):
    """Tokens, their attention keys, and what the pooled vector adds to the attention LSTM at every word."""

    tokens: Tensor  # (B, N, D)
    keys: Tensor  # (B, N, A)
    mask: Tensor  # (B, N)
    pooled: Tensor  # (B, 4W)


@dataclass
class UpDownState(State):
    """The attention LSTM below, the language LSTM above."""

    attention_hidden: Tensor  # (B, R, W)
    attention_cell: Tensor  # (B, R, W)
    language_hidden: Tensor  # (B, R, W)
    language_cell: Tensor  # (B, R, W)


class UpDown(Decoder[UpDownContext, UpDownState]):
    """Two LSTMs: one decides where to look, from what was said last; the other what to say, from what was seen.

    The sums that enter an LSTM's gates are kept apart by what they depend on: the pooled vector's part is computed
    once per image, the words' part once per caption in teacher forcing, and only the rest at every word.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        embedding: int = 1000,
        width: int = 1000,
        attention: int = 512,
        visual: int | None = None,
        dropout: float = 0.5,
        token_positions: bool = False,
        pooled: Literal["shared", "own", "tokens"] = "shared",
    ):
        """`visual`: width that visual vectors are first brought to, with a ReLU and dropout; None leaves them.

        `token_positions` adds to tokens where and when they are, which the paper leaves to the features. `pooled`: the
        pooled vector is brought there as the tokens are, by a layer of its own, or is the mean of the tokens as they
        arrive.
        """
        super().__init__()
        if pooled not in ("shared", "own", "tokens") or (pooled == "own" and not visual):
            raise UserError(
                f"decoder.pooled is {pooled!r}: it is shared, tokens, or own where decoder.visual has a width"
            )
        seen_width = visual or visual_width
        self.project = nn.Identity()
        if visual:
            self.project = nn.Sequential(Linear(visual_width, visual), nn.ReLU(), Dropout(dropout))
        self.pooled = pooled
        self.project_pooled = None
        if pooled == "own":
            self.project_pooled = nn.Sequential(Linear(visual_width, seen_width), nn.ReLU(), Dropout(dropout))
        self.embed = nn.Embedding(vocabulary_size, embedding, padding_idx=PAD)
        self.pooled_gates = Linear(seen_width, 4 * width)
        self.word_gates = Linear(embedding, 4 * width, bias=False)
        self.attention_gates = Linear(2 * width, 4 * width, bias=False)
        self.attend = AdditiveAttention(seen_width, width, attention)
        self.language_gates = Linear(seen_width + 2 * width, 4 * width)
        self.predict = Linear(width, vocabulary_size)
        self.dropout = Dropout(dropout)
        self.width, self.token_positions = width, token_positions
        initialise_gates(self.pooled_gates, self.word_gates, self.attention_gates)
        initialise_gates(self.language_gates)

    def prepare(self, memory: VisualMemory) -> UpDownContext:
        tokens = self.project(memory.tokens)
        if self.token_positions:
            tokens = tokens + token_positions(memory, tokens.shape[-1])
        if self.pooled == "tokens":
            pooled = mean_token(tokens, memory.mask)
        else:
            pooled = (self.project_pooled if self.pooled == "own" else self.project)(memory.pooled)
        return UpDownContext(tokens, self.attend.keys(tokens), memory.mask, self.pooled_gates(pooled))

    def start(self, context: UpDownContext, rows: int) -> UpDownState:
        nothing = start_cell(context.pooled, rows, self.width)
        return UpDownState(nothing, nothing, nothing, nothing)

    def advance(self, context: UpDownContext, state: UpDownState, given: Tensor) -> tuple[UpDownState, Tensor]:
        """given (B, R, 4W), what word and pooled vector add to the first gates -> next state, attention (B, R, N)."""
        said = torch.cat([state.language_hidden, state.attention_hidden], -1)
        hidden, cell = lstm_cell(given + self.attention_gates(said), state.attention_cell)  # (B, R, W)
        seen, attention = self.attend(hidden, context.keys, context.tokens, context.mask)  # (B, R, D), (B, R, N)
        known = torch.cat([seen, hidden, state.language_hidden], -1)
        return UpDownState(hidden, cell, *lstm_cell(self.language_gates(known), state.language_cell)), attention

    def forward_head(self, features: Tensor) -> Tensor:
        return self.predict(self.dropout(features))

    def step(self, context: UpDownContext, state: UpDownState, words: Tensor) -> StepOutput:
        given = self.word_gates(self.dropout(self.embed(words))) + context.pooled[:, None]  # (B, R, 4W)
        state, attention = self.advance(context, state, given)
        return StepOutput(self.forward_head(state.language_hidden), state, attention)

    def forward_features(self, context: UpDownContext, words: Tensor) -> DecoderFeatures:
        given = self.word_gates(self.dropout(self.embed(words))) + context.pooled[:, None, None]  # (B, R, T, 4W)
        state, trace = self.start(context, words.shape[1]), []
        for now in given.unbind(2):
            state, attention = self.advance(context, state, now)
            trace.append((state.language_hidden, attention))
        hidden, attention = (torch.stack(part, 2) for part in zip(*trace, strict=True))  # (B, R, T, .)
        return DecoderFeatures(hidden, attention)
