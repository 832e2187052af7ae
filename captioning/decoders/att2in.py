"""Att2in (Rennie et al. 2017, arXiv:1612.00563): what is attended to enters the cell's candidate, and no gate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.decoders.base import Context, Decoder, DecoderFeatures, LSTMState, StepOutput
from captioning.layers.additive_attention import AdditiveAttention
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.lstm import maxout_cell, start_cell
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD


@dataclass
class Att2inContext(Context):
    """Tokens and their attention keys."""

    tokens: Tensor  # (B, N, D'), D' is `visual`
    keys: Tensor  # (B, N, A)
    mask: Tensor  # (B, N)


class Att2in(Decoder[Att2inContext, LSTMState]):
    """An LSTM of maxout cells that looks at the tokens with its last state and reads what it saw with the next word."""

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        visual: int = 512,
        embedding: int = 512,
        width: int = 512,
        attention: int = 512,
        dropout: float = 0.5,
    ):
        """`visual` is the width that tokens are brought to first."""
        super().__init__()
        self.project = nn.Sequential(Linear(visual_width, visual), nn.ReLU(), Dropout(dropout))
        self.embed = nn.Embedding(vocabulary_size, embedding, padding_idx=PAD)
        self.attend = AdditiveAttention(visual, width, attention)
        self.word_gates = Linear(embedding, 5 * width)
        self.state_gates = Linear(width, 5 * width, bias=False)
        self.seen_candidates = Linear(visual, 2 * width, bias=False)
        self.predict = Linear(width, vocabulary_size)
        self.dropout, self.width = Dropout(dropout), width
        for layer in (self.word_gates, self.state_gates, self.seen_candidates):
            nn.init.uniform_(layer.weight, -(width**-0.5), width**-0.5)
        nn.init.zeros_(self.word_gates.bias)
        nn.init.ones_(self.word_gates.bias[width : 2 * width])  # a cell that at first remembers

    def prepare(self, memory: VisualMemory) -> Att2inContext:
        tokens = self.project(memory.tokens)  # (B, N, D')
        return Att2inContext(tokens, self.attend.keys(tokens), memory.mask)

    def start(self, context: Att2inContext, rows: int) -> LSTMState:
        nothing = start_cell(context.keys, rows, self.width)
        return LSTMState(nothing, nothing)

    def advance(self, context: Att2inContext, state: LSTMState, given: Tensor) -> tuple[LSTMState, Tensor]:
        """given (B, R, 5W), the word's part of the gates -> the next state, attention (B, R, N)."""
        seen, attention = self.attend(state.hidden, context.keys, context.tokens, context.mask)  # (B, R, D'), (B, R, N)
        gates = given + self.state_gates(state.hidden) + F.pad(self.seen_candidates(seen), (3 * self.width, 0))
        return LSTMState(*maxout_cell(gates, state.cell)), attention

    def forward_head(self, features: Tensor) -> Tensor:
        return self.predict(self.dropout(features))

    def step(self, context: Att2inContext, state: LSTMState, words: Tensor) -> StepOutput:
        state, attention = self.advance(context, state, self.word_gates(self.dropout(self.embed(words))))
        return StepOutput(self.forward_head(state.hidden), state, attention)

    def forward_features(self, context: Att2inContext, words: Tensor) -> DecoderFeatures:
        state, trace = self.start(context, words.shape[1]), []
        for given in self.word_gates(self.dropout(self.embed(words))).unbind(2):
            state, attention = self.advance(context, state, given)
            trace.append((state.hidden, attention))
        hidden, attention = (torch.stack(part, 2) for part in zip(*trace, strict=True))  # (B, R, T, .)
        return DecoderFeatures(hidden, attention)
