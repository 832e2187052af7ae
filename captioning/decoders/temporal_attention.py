"""Temporal attention, SA-LSTM (Yao et al. 2015, arXiv:1502.08029)."""

from __future__ import annotations

from typing import Literal

from captioning.decoders.show_attend_tell import ShowAttendTell, ShowAttendTellContext
from captioning.layers.frame_order import FrameOrder, Frames
from captioning.memory import VisualMemory


class TemporalAttention(ShowAttendTell):
    """Looks over all frames again before every word; additive attention and a deep output layer, without a gate.

    Attention over frames sees a bag of them. The features of the paper know of motion; frames of an image backbone do
    not, so `order` shows it, as `FrameOrder` describes. "none" is the network of the paper.
    """

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
        order: Literal["recurrent", "times", "none"] = "recurrent",
        deep: bool = True,
    ):
        super().__init__(
            visual_width=visual_width,
            vocabulary_size=vocabulary_size,
            visual=visual,
            embedding=embedding,
            width=width,
            attention=attention,
            dropout=dropout,
            gated=False,
            deep=deep,
        )
        self.order = FrameOrder(visual, order)

    def prepare(self, memory: VisualMemory) -> ShowAttendTellContext:
        return self.context_of(self.order(self.project(memory.tokens), memory, Frames.of(memory)), memory)
