"""Show and Tell (Vinyals et al. 2015, arXiv:1411.4555): the picture is the first word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, LSTMState, StepOutput
from captioning.errors import UserError
from captioning.layers.batch_norm import BatchNorm
from captioning.layers.dropout import Dropout
from captioning.layers.lstm import LSTM, MaxoutLSTM
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD


@dataclass
class ShowAndTellContext(Context):
    """The LSTM after it has read the picture."""

    hidden: Tensor  # (B, W)
    cell: Tensor  # (B, W)


class ShowAndTell(Decoder[ShowAndTellContext, LSTMState]):
    """An LSTM that reads the pooled feature once, then writes. It never looks again."""

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        embedding: int = 512,
        width: int = 512,
        dropout: float = 0.5,
        cell: Literal["lstm", "maxout"] = "lstm",
        batch_norm: bool = True,
    ):
        """`cell` maxout and no `batch_norm`: the FC model of Rennie et al. 2017 (arXiv:1612.00563)."""
        super().__init__()
        if cell not in ("lstm", "maxout"):
            raise UserError(f"decoder.cell is {cell!r}: it is lstm or maxout")
        normalised = [BatchNorm(embedding)] if batch_norm else []
        self.image = nn.Sequential(nn.Linear(visual_width, embedding), *normalised)
        self.embed = nn.Embedding(vocabulary_size, embedding, padding_idx=PAD)
        self.lstm = LSTM(embedding, width, batch_first=True) if cell == "lstm" else MaxoutLSTM(embedding, width)
        self.predict = nn.Linear(width, vocabulary_size)
        self.dropout = Dropout(dropout)

    def prepare(self, memory: VisualMemory) -> ShowAndTellContext:
        first = self.image(memory.pooled)[:, None]  # (B, 1, E); shown once, so no dropout
        _, (hidden, cell) = self.lstm(first)  # (1, B, W) each
        return ShowAndTellContext(hidden[0], cell[0])

    def start(self, context: ShowAndTellContext, rows: int) -> LSTMState:
        return LSTMState(*(part[:, None].expand(-1, rows, -1) for part in (context.hidden, context.cell)))

    def read(self, state: LSTMState, words: Tensor) -> tuple[Tensor, LSTMState]:
        """words (B, R, T) -> outputs (B, R, T, W) and the state after the last of them."""
        images, rows, length = words.shape
        embedded = self.dropout(self.embed(words)).flatten(0, 1)  # (B*R, T, E)
        before = tuple(part.flatten(0, 1)[None].contiguous() for part in (state.hidden, state.cell))
        outputs, after = self.lstm(embedded, before)  # (B*R, T, W)
        return outputs.view(images, rows, length, -1), LSTMState(*(part[0].view(images, rows, -1) for part in after))

    def forward_features(self, context: ShowAndTellContext, words: Tensor) -> DecoderFeatures:
        outputs, _ = self.read(self.start(context, words.shape[1]), words)
        return DecoderFeatures(outputs, None)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.predict(self.dropout(features))

    def step(self, context: ShowAndTellContext, state: LSTMState, words: Tensor) -> StepOutput:
        outputs, state = self.read(state, words[:, :, None])
        return StepOutput(self.forward_head(outputs)[:, :, 0], state, None)
