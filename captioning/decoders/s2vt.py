"""S2VT, sequence to sequence, video to text (Venugopalan et al. 2015, arXiv:1505.00487)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, State, StepOutput
from captioning.layers.dropout import Dropout
from captioning.layers.frame_order import Frames
from captioning.layers.lstm import LSTM, initialise_memory, read_sequence
from captioning.layers.masking import select_rows
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD


@dataclass
class S2VTContext(Context):
    """Both LSTMs after the last frame."""

    seeing_hidden: Tensor  # (B, W)
    seeing_cell: Tensor  # (B, W)
    telling_hidden: Tensor  # (B, W)
    telling_cell: Tensor  # (B, W)


@dataclass
class S2VTState(State):
    """Both LSTMs while words are said. The first reads no words, so that all rows of a clip share its state."""

    seeing_hidden: Tensor  # (B, W)
    seeing_cell: Tensor  # (B, W)
    hidden: Tensor  # (B, R, W)
    cell: Tensor  # (B, R, W)

    def select(self, index: Tensor) -> S2VTState:
        return replace(self, hidden=select_rows(self.hidden, index), cell=select_rows(self.cell, index))


class S2VT(Decoder[S2VTContext, S2VTState]):
    """Two stacked LSTMs that read frames, then write words.

    The first reads frames, then padding; the second reads the first, with padding in place of words while there are
    frames, then with words. Frames end where each clip ends, whatever else is in the batch.

    Word and the first LSTM's output enter the second as a sum of projections. With `embedding` no less than `width`
    that is all a weight for the two side by side, as in the paper, could make of them, and what is seen is projected
    once per clip. Tokens of the same time count as one frame, their mean; a photo is one frame.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        embedding: int = 512,
        width: int = 512,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.image = nn.Sequential(nn.Linear(visual_width, embedding), Dropout(dropout))
        self.embed = nn.Embedding(vocabulary_size, embedding, padding_idx=PAD)
        self.see = LSTM(embedding, width, batch_first=True)
        self.pass_on = nn.Linear(width, embedding)
        self.tell = LSTM(embedding, width, batch_first=True)
        self.predict = nn.Linear(width, vocabulary_size)
        self.dropout = Dropout(dropout)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """What is seen enters the second LSTM as loud as words do: as layers usually begin, 20 times softer.

        On clips of the generated world, that and cells that keep what they read are what lets the order of frames be
        learnt at all (tests/decoders/test_motion.py).
        """
        nn.init.normal_(self.embed.weight, std=0.5)
        nn.init.zeros_(self.embed.weight[PAD])
        self.pass_on.weight *= 4
        initialise_memory(self.see, self.tell, forget=2.0)

    def prepare(self, memory: VisualMemory) -> S2VTContext:
        frames = Frames.of(memory)
        seen, seeing = read_sequence(self.see, self.image(frames.mean(memory.tokens)), frames.real)  # (B, F, W)
        _, telling = read_sequence(self.tell, self.pass_on(self.dropout(seen)), frames.real)
        return S2VTContext(*(part[0] for part in (*seeing, *telling)))

    def start(self, context: S2VTContext, rows: int) -> S2VTState:
        telling = (part[:, None].expand(-1, rows, -1) for part in (context.telling_hidden, context.telling_cell))
        return S2VTState(context.seeing_hidden, context.seeing_cell, *telling)

    def read(self, state: S2VTState, words: Tensor) -> tuple[Tensor, S2VTState]:
        """words (B, R, T) -> outputs (B, R, T, W) and the state after the last of them."""
        images, rows, length = words.shape
        padding = state.hidden.new_zeros(images, length, self.see.input_size)
        seen, seeing = self.see(padding, (state.seeing_hidden[None], state.seeing_cell[None]))  # (B, T, W)
        given = self.dropout(self.embed(words)) + self.pass_on(self.dropout(seen))[:, None]  # (B, R, T, E)
        before = tuple(part.flatten(0, 1)[None].contiguous() for part in (state.hidden, state.cell))
        outputs, telling = self.tell(given.flatten(0, 1), before)  # (B*R, T, W)
        telling = (part[0].unflatten(0, (images, rows)) for part in telling)
        return outputs.unflatten(0, (images, rows)), S2VTState(*(part[0] for part in seeing), *telling)

    def forward_features(self, context: S2VTContext, words: Tensor) -> DecoderFeatures:
        outputs, _ = self.read(self.start(context, words.shape[1]), words)
        return DecoderFeatures(outputs, None)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.predict(self.dropout(features))

    def step(self, context: S2VTContext, state: S2VTState, words: Tensor) -> StepOutput:
        outputs, state = self.read(state, words[:, :, None])
        return StepOutput(self.forward_head(outputs)[:, :, 0], state, None)
