"""Hierarchical attention: over the frames of a clip, then over the regions or cells within each."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from captioning.decoders.show_attend_tell import ShowAttendTellContext
from captioning.decoders.temporal_attention import TemporalAttention
from captioning.layers.additive_attention import AdditiveAttention
from captioning.layers.frame_order import Frames
from captioning.layers.masking import masked_softmax
from captioning.memory import VisualMemory


@dataclass
class HierarchicalAttentionContext(ShowAttendTellContext):
    """Tokens and the frames that they belong to."""

    frame: Tensor  # (B, N) index of each token's frame
    frame_keys: Tensor  # (B, F, A)
    frame_mask: Tensor  # (B, F)


class HierarchicalAttention(TemporalAttention):
    """Decides before every word which frames to look at, from the mean of each, and where to look within them.

    A token's attention is that of its frame times its own among the tokens of its frame. Tokens of the same time are
    one frame. Frames of one token make this temporal attention; a photo, one frame, makes it Show, Attend and Tell.
    Options are those of `TemporalAttention`.
    """

    def __init__(self, *, visual: int = 512, width: int = 512, attention: int = 512, **options):
        super().__init__(visual=visual, width=width, attention=attention, **options)
        self.attend_frames = AdditiveAttention(visual, width, attention)

    def prepare(self, memory: VisualMemory) -> HierarchicalAttentionContext:
        frames = Frames.of(memory)
        tokens = self.order(self.project(memory.tokens), memory, frames)
        frame_keys = self.attend_frames.keys(frames.mean(tokens))
        return HierarchicalAttentionContext(
            **vars(self.context_of(tokens, memory)),
            frame=frames.index,
            frame_keys=frame_keys,
            frame_mask=frames.real,
        )

    def glance(self, context: HierarchicalAttentionContext, hidden: Tensor) -> tuple[Tensor, Tensor]:
        frames = masked_softmax(self.attend_frames.scores(hidden, context.frame_keys), context.frame_mask[:, None])
        scores = self.attend.scores(hidden, context.keys)  # (B, R, N)
        frame = context.frame[:, None].expand_as(scores)
        weights = softmax_within(scores, frame, context.mask[:, None], len(context.frame_mask[0]))
        weights = weights * frames.float().gather(2, frame)
        return weights.to(context.tokens.dtype) @ context.tokens, weights


def softmax_within(scores: Tensor, frame: Tensor, mask: Tensor, frames: int) -> Tensor:
    """scores and frame (B, R, N), mask broadcastable -> weights that sum to one over the real tokens of each frame."""
    scores = scores.float().masked_fill(~mask, torch.finfo(torch.float32).min)
    room = scores.new_zeros(*scores.shape[:2], frames)
    largest = room.scatter_reduce(2, frame, scores.detach(), "amax", include_self=False)
    weights = (scores - largest.gather(2, frame)).exp() * mask
    return weights / room.scatter_add(2, frame, weights).clamp(min=torch.finfo(torch.float32).tiny).gather(2, frame)
