"""Many decoders as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, State, StepOutput
from captioning.errors import UserError
from captioning.memory import VisualMemory


@dataclass
class EnsembleContext(Context):
    """One for each decoder."""

    each: list[Context]

    def keep(self, images: Tensor) -> EnsembleContext:
        return replace(self, each=[context.keep(images) for context in self.each])


@dataclass
class EnsembleState(State):
    """One for each decoder."""

    each: list[State]

    def select(self, index: Tensor) -> EnsembleState:
        return replace(self, each=[state.select(index) for state in self.each])

    def keep(self, images: Tensor) -> EnsembleState:
        return replace(self, each=[state.keep(images) for state in self.each])


def mean_log_probabilities(logits: Sequence[Tensor]) -> Tensor:
    """Logits (..., V) of each decoder -> the mean of their log-probabilities (..., V)."""
    sizes = sorted({each.shape[-1] for each in logits})
    if len(sizes) > 1:
        raise UserError(
            f"ensemble: the decoders have vocabularies of {', '.join(map(str, sizes))} words; "
            "only models trained with the same vocabulary can be combined"
        )
    return torch.stack([each.log_softmax(-1) for each in logits]).mean(0)


def mean_attention(attentions: Sequence[Tensor | None]) -> Tensor | None:
    """The mean over those that attend (..., N); None where none does, or where they attend to different tokens."""
    present = [attention for attention in attentions if attention is not None]
    if len({attention.shape[-1] for attention in present}) != 1:
        return None
    return torch.stack(present).mean(0)


def narrowed(memory: VisualMemory, spans: Sequence[Sequence[int]] | None) -> VisualMemory:
    """The memory of an encoder that gives only these channels, spans [start, stop), one after the other."""
    if spans is None or list(map(list, spans)) == [[0, memory.tokens.shape[-1]]]:
        return memory

    def cut(values: Tensor) -> Tensor:
        return torch.cat([values[..., start:stop] for start, stop in spans], -1)

    return replace(memory, tokens=cut(memory.tokens), pooled=cut(memory.pooled))


class Ensemble(Decoder[EnsembleContext, EnsembleState]):
    """Averages the log-probabilities of decoders that share a vocabulary, each over a context of its own.

    Its logits are the mean of log-probabilities, the logarithm of the geometric mean of probabilities, which does not
    sum to one until a softmax is taken. One decoder alone gives its own log-probabilities.
    """

    def __init__(self, decoders: Sequence[Decoder], channels: Sequence[Sequence[Sequence[int]] | None] | None = None):
        """`channels`: for every decoder the spans [start, stop) of a token's values that it sees; None for all."""
        super().__init__()
        if not decoders:
            raise UserError("ensemble: there is no decoder in it: name at least one model")
        if channels is not None and len(channels) != len(decoders):
            raise UserError(f"ensemble: {len(channels)} lists of channels for {len(decoders)} decoders")
        self.decoders = nn.ModuleList(decoders)
        self.channels = channels or [None] * len(decoders)

    def prepare(self, memory: VisualMemory | Sequence[VisualMemory]) -> EnsembleContext:
        """`memory` for all decoders, or one for each, of the same images in the same order."""
        if isinstance(memory, VisualMemory):
            memories = [narrowed(memory, spans) for spans in self.channels]
        else:
            memories = memory
        if len(memories) != len(self.decoders):
            raise ValueError(f"{len(memories)} memories for {len(self.decoders)} decoders")
        return EnsembleContext([decoder.prepare(each) for decoder, each in zip(self.decoders, memories, strict=True)])

    def forward_features(self, context: EnsembleContext, words: Tensor) -> DecoderFeatures:
        taught = [
            decoder.forward_features(each, words) for decoder, each in zip(self.decoders, context.each, strict=True)
        ]
        features, attentions = zip(*taught, strict=True)
        logits = [decoder.forward_head(each) for decoder, each in zip(self.decoders, features, strict=True)]
        return DecoderFeatures(mean_log_probabilities(logits), mean_attention(attentions))

    def forward_head(self, features: Tensor) -> Tensor:
        """Log-probabilities are what `forward_features` knows already."""
        return features

    def start(self, context: EnsembleContext, rows: int) -> EnsembleState:
        return EnsembleState(
            [decoder.start(each, rows) for decoder, each in zip(self.decoders, context.each, strict=True)]
        )

    def step(self, context: EnsembleContext, state: EnsembleState, words: Tensor) -> StepOutput:
        steps = [
            decoder.step(seen, said, words)
            for decoder, seen, said in zip(self.decoders, context.each, state.each, strict=True)
        ]
        logits, states, attentions = zip(*steps, strict=True)
        return StepOutput(mean_log_probabilities(logits), EnsembleState(list(states)), mean_attention(attentions))
