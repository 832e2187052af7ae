"""A decoder small enough to search completely: a table of logits, looked up by everything said so far."""

from dataclasses import dataclass

import torch
from torch import Tensor

from captioning.decoders.base import Context, Decoder, DecoderFeatures, State, StepOutput

STATES, TOKENS = 1009, 3


@dataclass
class TableContext(Context):
    key: Tensor  # (B,)


@dataclass
class TableState(State):
    place: Tensor  # (B, R) in the table


class TableDecoder(Decoder):
    """The next word depends on the whole caption so far and on the image, and on nothing else."""

    def __init__(self, vocabulary_size: int, *, spread: float = 2.0, seed: int = 0, rounded: bool = False):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        table = torch.randn(STATES, vocabulary_size, generator=generator) * spread
        self.register_buffer("table", table.round() if rounded else table)
        self.register_buffer("look", torch.rand(STATES, TOKENS, generator=generator))

    def prepare(self, memory: Tensor) -> TableContext:
        return TableContext(memory)

    def start(self, context: TableContext, rows: int) -> TableState:
        return TableState(context.key[:, None].expand(-1, rows))

    def step(self, context: TableContext, state: TableState, words: Tensor) -> StepOutput:
        place = (state.place * 31 + words * 7 + 1) % STATES
        look = self.look[place]
        return StepOutput(self.table[place], TableState(place), look / look.sum(-1, keepdim=True))

    def forward_features(self, context: TableContext, words: Tensor) -> DecoderFeatures:
        state, trace = self.start(context, words.shape[1]), []
        for now in words.unbind(2):
            logits, state, attention = self.step(context, state, now)
            trace.append((logits, attention))
        return DecoderFeatures(*(torch.stack(part, 2) for part in zip(*trace, strict=True)))

    def forward_head(self, features: Tensor) -> Tensor:
        return features
