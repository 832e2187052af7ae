"""The seam between what was seen and what is said: every decoder is a `Decoder`, every search drives one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from captioning.layers.masking import select_rows
from captioning.memory import VisualMemory


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Applies `function` to a tensor or to every tensor in a list or tuple of them; leaves anything else alone."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map_tensors(function, item) for item in value)
    return value


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor in a context or in a list or tuple, at any depth; None where there is none."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Context):
        value = [getattr(value, f.name) for f in fields(value)]
    parts = map(first_tensor, value) if isinstance(value, (list, tuple)) else ()
    return next((part for part in parts if part is not None), None)


def chosen_of(chosen: Tensor, one: Any, other: Any) -> Any:
    """Of two contexts of the same images, or parts of them, `other` where `chosen` (B,) is True, and else `one`."""
    if isinstance(one, Tensor):
        return torch.where(chosen.view(-1, *[1] * (one.dim() - 1)), other, one)
    if isinstance(one, (Context, VisualMemory)):
        names = [f.name for f in fields(one)]
        return replace(one, **{name: chosen_of(chosen, getattr(one, name), getattr(other, name)) for name in names})
    if isinstance(one, (list, tuple)):
        return type(one)(chosen_of(chosen, *pair) for pair in zip(one, other, strict=True))
    return one


C = TypeVar("C", bound="Context")
S = TypeVar("S", bound="State")


@dataclass
class Context:
    """Base of what a decoder prepares once per image. A dataclass whose tensors all begin with B."""

    def __len__(self) -> int:
        """Images in the batch, B."""
        return len(self._first())

    @property
    def device(self) -> torch.device:
        return self._first().device

    def _first(self) -> Tensor:
        found = first_tensor(self)
        assert found is not None, f"{type(self).__name__} holds no tensor"
        return found

    def keep(self: C, images: Tensor) -> C:
        """Only these images, in this order. images (B',) of indices."""
        return replace(self, **{f.name: map_tensors(lambda t: t[images], getattr(self, f.name)) for f in fields(self)})


@dataclass
class State:
    """Base of what a decoder carries from word to word. A dataclass whose tensors all begin with (B, R)."""

    def select(self: S, index: Tensor) -> S:
        """Rows re-ordered, dropped or repeated inside each image. index (B, S) in [0, R)."""
        return replace(
            self, **{f.name: map_tensors(lambda t: select_rows(t, index), getattr(self, f.name)) for f in fields(self)}
        )

    def keep(self: S, images: Tensor) -> S:
        """Only these images, in this order. images (B',) of indices."""
        return replace(self, **{f.name: map_tensors(lambda t: t[images], getattr(self, f.name)) for f in fields(self)})


@dataclass
class LSTMState(State):
    """One LSTM layer."""

    hidden: Tensor  # (B, R, W)
    cell: Tensor  # (B, R, W)


class StepOutput(NamedTuple):
    """One word further."""

    logits: Tensor  # (B, R, V)
    state: Any  # of the decoder's own kind
    attention: Tensor | None  # (B, R, N), rows sum to one; None for a decoder that attends to nothing


class DecoderFeatures(NamedTuple):
    """Whole captions under teacher forcing, before the words are named."""

    features: Tensor  # (B, R, T, W), which `forward_head` turns into logits
    attention: Tensor | None  # (B, R, T, N)


class Decoder(nn.Module, Generic[C, S]):
    """Turns a visual memory into words, one step at a time.

    A subclass implements `prepare`, `forward_features`, `forward_head`, `start` and `step`, and takes `visual_width`
    (D) and `vocabulary_size` (V) as its first two keyword arguments. Word ids follow `captioning.text.vocabulary`.
    `Decoder[UpDownContext, UpDownState]` is one whose context and state are these.
    The law: `forward` and repeated `step` give the same logits, for any rows, padding and batch.
    """

    def prepare(self, memory: VisualMemory) -> C:
        """Once per image: projections, cached keys. -> a Context without a row axis."""
        raise NotImplementedError

    def forward_features(self, context: C, words: Tensor) -> DecoderFeatures:
        """words (B, R, T), beginning with BOS -> what is known of the word after each, and attention.

        Apart from `forward_head`, so that training pays for the output layer only where there is a word to learn.
        """
        raise NotImplementedError

    def forward_head(self, features: Tensor) -> Tensor:
        """The output layer: features (..., W) -> logits (..., V)."""
        raise NotImplementedError

    def start(self, context: C, rows: int) -> S:
        """The state before the first word, for `rows` rows an image."""
        raise NotImplementedError

    def start_behind(self, context: C, prompt: Tensor) -> S:
        """The state before the first word, for rows that have read a prompt (B, R, P) of word ids, none of them PAD.

        The law: what follows is what `forward` says of the places behind the prompt, where both stand in one row. A
        prompt of no words gives the state of `start`.
        """
        state = self.start(context, prompt.shape[1])
        for words in prompt.unbind(2):
            state = self.step(context, state, words).state
        return state

    def step(self, context: C, state: S, words: Tensor) -> StepOutput:
        """One word further: words (B, R) -> logits (B, R, V), the next state, attention (B, R, N).

        Uses `state` up: a caller that needs it twice takes a copy by `select` first. The logits are the caller's
        to write into.
        """
        raise NotImplementedError

    def forward(self, context: C, words: Tensor) -> Tensor:
        """Teacher forcing: words (B, R, T) -> logits (B, R, T, V)."""
        return self.forward_head(self.forward_features(context, words).features)
