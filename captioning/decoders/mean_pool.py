"""Mean pooling (Venugopalan et al. 2015, NAACL, arXiv:1412.4729): a clip is the mean of its frames."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, LSTMState, StepOutput
from captioning.layers.dropout import Dropout
from captioning.layers.lstm import LSTM, start_cell
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD


@dataclass
class MeanPoolContext(Context):
    """The pooled vector as the LSTM reads it."""

    pooled: Tensor  # (B, E)


class MeanPool(Decoder[MeanPoolContext, LSTMState]):
    """Stacked LSTMs that read the pooled vector again with every word.

    It cannot see in which order frames come: the baseline that every video decoder has to beat.

    Word and pooled vector enter the LSTM as a sum of projections. That is all a weight for the two side by side, as
    in the paper, could make of them, and the pooled vector's part is computed once per clip.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        embedding: int = 512,
        width: int = 512,
        layers: int = 2,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.image = nn.Sequential(nn.Linear(visual_width, embedding), Dropout(dropout))
        self.embed = nn.Embedding(vocabulary_size, embedding, padding_idx=PAD)
        between = dropout if layers > 1 else 0.0  # torch warns of dropout between the layers of one
        self.lstm = LSTM(embedding, width, layers, batch_first=True, dropout=between)
        self.predict = nn.Linear(width, vocabulary_size)
        self.dropout = Dropout(dropout)

    def prepare(self, memory: VisualMemory) -> MeanPoolContext:
        return MeanPoolContext(self.image(memory.pooled))

    def start(self, context: MeanPoolContext, rows: int) -> LSTMState:
        """States of all layers, (B, R, layers, W)."""
        nothing = start_cell(context.pooled, rows, self.lstm.num_layers * self.lstm.hidden_size)
        nothing = nothing.unflatten(-1, (self.lstm.num_layers, self.lstm.hidden_size))
        return LSTMState(nothing, nothing)

    def read(self, context: MeanPoolContext, state: LSTMState, words: Tensor) -> tuple[Tensor, LSTMState]:
        """words (B, R, T) -> outputs (B, R, T, W) and the state after the last of them."""
        given = self.dropout(self.embed(words)) + context.pooled[:, None, None]  # (B, R, T, E)
        before = tuple(part.flatten(0, 1).transpose(0, 1).contiguous() for part in (state.hidden, state.cell))
        outputs, after = self.lstm(given.flatten(0, 1), before)  # (B*R, T, W), (layers, B*R, W) each
        rows = words.shape[:2]
        return outputs.unflatten(0, rows), LSTMState(*(part.transpose(0, 1).unflatten(0, rows) for part in after))

    def forward_features(self, context: MeanPoolContext, words: Tensor) -> DecoderFeatures:
        outputs, _ = self.read(context, self.start(context, words.shape[1]), words)
        return DecoderFeatures(outputs, None)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.predict(self.dropout(features))

    def step(self, context: MeanPoolContext, state: LSTMState, words: Tensor) -> StepOutput:
        outputs, state = self.read(context, state, words[:, :, None])
        return StepOutput(self.forward_head(outputs)[:, :, 0], state, None)
