"""What tells photos of the domain that a model was trained on from all others, and which memory counts for which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from captioning.memory import VisualMemory

if TYPE_CHECKING:
    from captioning.decoders.concept_retrieval import ConceptRetrievalContext, ConceptRetrievalDecoder
    from captioning.decoders.retrieval import RetrievalContext, RetrievalDecoder

STEEPNESS = 20.0  # of how one memory takes over from the other, in units of 1 / cosine, or 1 / nats a word


def has_foreign_region(memory: VisualMemory, foreign: Tensor, sure: float) -> Tensor:
    """Whether an image has a region of a kind that is `foreign` (C,), at least `sure` to be there. -> (B,) bool."""
    if memory.classes is None:
        return torch.zeros(len(memory), dtype=torch.bool, device=memory.mask.device)
    region = memory.mask & (memory.classes >= 0) & (memory.classes < len(foreign))
    kinds = memory.classes.clamp(0, len(foreign) - 1)
    return (region & (memory.scores >= sure) & foreign[kinds]).any(1)


@dataclass(frozen=True)
class Memories:
    """The two memories of a decoder that asks which images are `familiar` (B,) bool, and what both were reminded of.

    `nearer` (B,) is by how much more than just familiar the photos remembered are, in cosines.
    """

    familiar: Tensor
    nearer: Tensor
    photos: RetrievalDecoder
    alike: RetrievalContext
    concepts: ConceptRetrievalDecoder
    named: ConceptRetrievalContext

    def rank(
        self, words: Tensor, *, looks: float, names: float, unsupported: float, naming: float, least: float
    ) -> Tensor:
        """What captions (B, K, T) gain -> (B, K): of familiar images by the captions of photos that look alike.

        Of all others by both memories, shared out by how much nearer their photos are, and by what speaks for or
        against what they name, where a concept that counts below `least` gains nothing.
        """
        by_looks = looks * self.photos.agreement(self.alike, words)
        by_names = names * self.concepts.agreement(self.named, words)
        more = naming * self.concepts.salience(self.named, words, least)
        more = more - unsupported * self.concepts.unsupported(self.named, words)
        share = (STEEPNESS * self.nearer).sigmoid()[:, None]
        others = 2 * (share * by_looks + (1 - share) * by_names) + more
        return torch.where(self.familiar[:, None], by_looks, others)
