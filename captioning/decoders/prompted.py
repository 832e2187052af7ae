"""A decoder that goes on behind a prompt: to a search, a decoder like any other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captioning.decoders.base import Context, Decoder, DecoderFeatures, State, StepOutput
from captioning.errors import UserError
from captioning.memory import VisualMemory


@dataclass
class PromptedContext(Context):
    """What the decoder knows of each image, and the prompt of each; an image may come again with another prompt."""

    own: Context
    prompt: Tensor  # (B, P) word ids, none of them PAD

    def __len__(self) -> int:
        return len(self.prompt)

    @property
    def device(self) -> torch.device:
        return self.prompt.device

    def keep(self, images: Tensor) -> PromptedContext:
        return replace(self, own=self.own.keep(images), prompt=self.prompt[images])


class Prompted(Decoder):
    """What `decoder` says behind the prompt of its context; every row of an image has the same."""

    def __init__(self, decoder: Decoder):
        super().__init__()
        self.decoder = decoder

    def prepare(self, memory: VisualMemory) -> Context:
        raise UserError("a prompted decoder has no prompt before PromptedContext gives it one")

    def forward_features(self, context: PromptedContext, words: Tensor) -> DecoderFeatures:
        prompt = self._rows(context, words.shape[1])
        features, attention = self.decoder.forward_features(context.own, torch.cat([prompt, words], 2))
        behind = prompt.shape[2]
        return DecoderFeatures(features[:, :, behind:], None if attention is None else attention[:, :, behind:])

    def forward_head(self, features: Tensor) -> Tensor:
        return self.decoder.forward_head(features)

    def start(self, context: PromptedContext, rows: int) -> State:
        return self.decoder.start_behind(context.own, self._rows(context, rows))

    def step(self, context: PromptedContext, state: State, words: Tensor) -> StepOutput:
        return self.decoder.step(context.own, state, words)

    @staticmethod
    def _rows(context: PromptedContext, rows: int) -> Tensor:
        return context.prompt[:, None].expand(-1, rows, -1)  # (B, R, P)
