"""Show, Attend and Tell with soft attention (Xu et al. 2015, arXiv:1502.03044)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, LSTMState, StepOutput
from captioning.errors import UserError
from captioning.layers.additive_attention import AdditiveAttention
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.lstm import initialise_gates, lstm_cell
from captioning.layers.masking import mean_token
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD


@dataclass
class ShowAttendTellContext(Context):
    """Tokens, their attention keys, and where the LSTM starts."""

    tokens: Tensor  # (B, N, D'), D' is `visual`
    keys: Tensor  # (B, N, A)
    mask: Tensor  # (B, N)
    hidden: Tensor  # (B, W)
    cell: Tensor  # (B, W)


class ShowAttendTell(Decoder[ShowAttendTellContext, LSTMState]):
    """Looks again before every word: additive attention, a gate on what is seen, and a deep output layer.

    The doubly stochastic penalty of the paper belongs to the objective (`attention_penalty`).
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        visual: int | None = 512,
        embedding: int = 512,
        width: int = 512,
        attention: int = 512,
        dropout: float = 0.5,
        gated: bool = True,
        deep: bool = True,
        activation: Literal["tanh", "relu"] = "tanh",
        first: Literal["tanh", "linear", "pooled"] = "tanh",
    ):
        """`visual` is the width that tokens are brought to first: a modern backbone's are wider than the LSTM.

        None leaves them as they are. `gated`: whether the LSTM decides before every word how much of what is seen
        counts. `deep`: whether word and what is seen enter the output layer beside the LSTM. `activation` is that of
        the attention's score. `first` is how the LSTM begins: with the tanh of a layer over the mean token, without
        the tanh, or with a layer over the pooled vector.
        """
        super().__init__()
        if first not in ("tanh", "linear", "pooled"):
            raise UserError(f"decoder.first is {first!r}: it is tanh, linear or pooled")
        self.project, self.first = nn.Identity(), first
        if visual:
            self.project = nn.Sequential(nn.Linear(visual_width, visual), nn.ReLU(), Dropout(dropout))
        visual = visual or visual_width
        started_by = visual_width if first == "pooled" else visual
        self.embed = nn.Embedding(vocabulary_size, embedding, padding_idx=PAD)
        self.first_hidden = nn.Linear(started_by, width)
        self.first_cell = nn.Linear(started_by, width)
        self.attend = AdditiveAttention(visual, width, attention, activation)
        self.gate = Linear(width, visual) if gated else None
        self.word_gates = Linear(embedding, 4 * width)
        self.other_gates = Linear(visual + width, 4 * width, bias=False)
        self.deep = Linear(visual + width, embedding) if deep else None
        self.predict = Linear(embedding if deep else width, vocabulary_size)
        self.dropout = Dropout(dropout)
        initialise_gates(self.word_gates, self.other_gates)

    def prepare(self, memory: VisualMemory) -> ShowAttendTellContext:
        return self.context_of(self.project(memory.tokens), memory)

    def context_of(self, tokens: Tensor, memory: VisualMemory) -> ShowAttendTellContext:
        """tokens (B, N, D') made of the memory's -> what the LSTM attends to, and its first state."""
        by = memory.pooled if self.first == "pooled" else mean_token(tokens, memory.mask)
        hidden, cell = self.first_hidden(by), self.first_cell(by)
        if self.first == "tanh":
            hidden, cell = torch.tanh(hidden), torch.tanh(cell)
        return ShowAttendTellContext(tokens, self.attend.keys(tokens), memory.mask, hidden, cell)

    def start(self, context: ShowAttendTellContext, rows: int) -> LSTMState:
        return LSTMState(*(part[:, None].expand(-1, rows, -1) for part in (context.hidden, context.cell)))

    def glance(self, context: ShowAttendTellContext, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """hidden (B, R, W) -> seen (B, R, D'), attention (B, R, N)."""
        return self.attend(hidden, context.keys, context.tokens, context.mask)

    def attend_and_step(
        self, context: ShowAttendTellContext, state: LSTMState, given: Tensor
    ) -> tuple[LSTMState, Tensor, Tensor]:
        """given (B, R, 4W), the word's part of the gates -> next state, seen (B, R, D'), attention (B, R, N)."""
        seen, attention = self.glance(context, state.hidden)
        if self.gate is not None:
            seen = torch.sigmoid(self.gate(state.hidden)) * seen  # (B, R, D')
        gates = given + self.other_gates(torch.cat([seen, state.hidden], -1))  # (B, R, 4W)
        return LSTMState(*lstm_cell(gates, state.cell)), seen, attention

    def know(self, embedded: Tensor, hidden: Tensor, seen: Tensor) -> Tensor:
        """The deep output layer of the paper: (..., E), (..., W), (..., D') -> (..., E); without it (..., W)."""
        if self.deep is None:
            return hidden
        return torch.tanh(embedded + self.deep(torch.cat([seen, self.dropout(hidden)], -1)))

    def forward_head(self, features: Tensor) -> Tensor:
        return self.predict(self.dropout(features))

    def step(self, context: ShowAttendTellContext, state: LSTMState, words: Tensor) -> StepOutput:
        embedded = self.dropout(self.embed(words))
        state, seen, attention = self.attend_and_step(context, state, self.word_gates(embedded))
        return StepOutput(self.forward_head(self.know(embedded, state.hidden, seen)), state, attention)

    def forward_features(self, context: ShowAttendTellContext, words: Tensor) -> DecoderFeatures:
        embedded = self.dropout(self.embed(words))  # (B, R, T, E)
        state, trace = self.start(context, words.shape[1]), []
        for given in self.word_gates(embedded).unbind(2):
            state, seen, attention = self.attend_and_step(context, state, given)
            trace.append((state.hidden, seen, attention))
        hidden, seen, attention = (torch.stack(part, 2) for part in zip(*trace, strict=True))  # (B, R, T, .)
        return DecoderFeatures(self.know(embedded, hidden, seen), attention)
