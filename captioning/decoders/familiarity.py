"""What tells photos of the domain that a model was trained on from all others, and which memory counts for which."""

from __future__ import annotations

import torch
from torch import Tensor

from captioning.memory import VisualMemory

STEEPNESS = 20.0  # of how one memory takes over from the other, in units of 1 / cosine, or 1 / nats a word


def has_foreign_region(memory: VisualMemory, foreign: Tensor, sure: float) -> Tensor:
    """Whether an image has a region of a kind that is `foreign` (C,), at least `sure` to be there. -> (B,) bool."""
    if memory.classes is None:
        return torch.zeros(len(memory), dtype=torch.bool, device=memory.mask.device)
    region = memory.mask & (memory.classes >= 0) & (memory.classes < len(foreign))
    kinds = memory.classes.clamp(0, len(foreign) - 1)
    return (region & (memory.scores >= sure) & foreign[kinds]).any(1)


def rank_by_familiarity(familiar: Tensor, nearer: Tensor, by_looks: Tensor, by_names: Tensor, more: Tensor) -> Tensor:
    """What captions (B, K) gain: those of `familiar` (B,) images by the captions of photos that look alike.

    Those of all others by both memories, shared out by how much `nearer` (B,) than just familiar their photos are, in
    cosines, and by what `more` (B, K) speaks for or against them.
    """
    share = (STEEPNESS * nearer).sigmoid()[:, None]
    others = 2 * (share * by_looks + (1 - share) * by_names) + more
    return torch.where(familiar[:, None], by_looks, others)
