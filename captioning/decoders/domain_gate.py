"""One decoder with two ways to speak: of photos like those it remembers by what it sees, of all others by concepts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captioning.decoders.base import Context, Decoder, DecoderFeatures, State, StepOutput, chosen_of
from captioning.decoders.concept_retrieval import ConceptRetrievalDecoder
from captioning.decoders.familiarity import Memories, has_foreign_region
from captioning.decoders.retrieval import RetrievalContext, RetrievalDecoder
from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.runtime.option_checks import require_number
from captioning.text.concepts import coco_objects, concepts


@dataclass
class DomainGateContext(Context):
    """What the decoder prepared, and which images are of the domain that it remembers."""

    own: RetrievalContext
    by_concepts: Context | None  # of the decoder inside, no concept being hidden; None where nobody will ask for it
    familiar: Tensor  # (B,) bool

    def keep(self, images: Tensor) -> DomainGateContext:
        by_concepts = None if self.by_concepts is None else self.by_concepts.keep(images)
        return DomainGateContext(self.own.keep(images), by_concepts, self.familiar[images])


class DomainGate(Decoder[DomainGateContext, State]):
    """Hides the concepts of familiar photos from `decoder`, which remembers photos and, inside, captions by concepts.

    A photo is familiar where those remembered are at least `threshold` alike in the mean (-1 to 1), and no region of
    it that the detector is `sure` of is of a kind that is rare among them: `foreign` (C,) says which are. Captions of
    familiar photos are then judged by those of photos that look alike, of all others by those that name the same.
    With `overlooked` a familiar photo is unfamiliar after all where its caption does not name what counts most in it,
    if that counts so much (0 to 1): a search then tells it again by its concepts (`generation=consensus`).
    """

    def __init__(
        self,
        decoder: RetrievalDecoder,
        *,
        visual_width: int,
        vocabulary_size: int,
        threshold: float = 0.46,
        sure: float = 0.3,
        overlooked: float | None = None,
    ):
        super().__init__()
        inside = decoder.decoder if isinstance(decoder, RetrievalDecoder) else None
        if not isinstance(inside, ConceptRetrievalDecoder):
            raise UserError("decoder.decoder has to remember photos, and its own decoder captions by concepts")
        numbers = {"threshold": threshold, "sure": sure} | ({} if overlooked is None else {"overlooked": overlooked})
        require_number("decoder.", **numbers)
        self.decoder, self.threshold, self.sure, self.vocabulary_size = decoder, threshold, sure, vocabulary_size
        self.overlooked = overlooked
        self.register_buffer("foreign", torch.zeros(len(concepts()), dtype=torch.bool))

    def prepare(self, memory: VisualMemory) -> DomainGateContext:
        photos, trust, likeness = self.decoder.neighbours_of(memory)
        strange = has_foreign_region(memory, self.foreign, self.sure)
        familiar = (likeness >= self.threshold) & ~strange
        inside = self.decoder.decoder
        again = self.overlooked is not None and bool(familiar.any())
        own = RetrievalContext(inside.prepare(memory.without_concepts(familiar)), photos, trust, likeness)
        return DomainGateContext(own, inside.prepare(memory) if again else None, familiar)

    def overlooking(self, context: DomainGateContext, words: Tensor) -> Tensor:
        """Which familiar images have captions (B, T) that do not name what counts most, if it counts enough. -> (B,)"""
        if context.by_concepts is None:
            return torch.zeros_like(context.familiar)
        kinds, weights = self.decoder.decoder.weightiest(context.by_concepts)
        named = self.decoder.decoder.names_any(words[:, None], kinds[:, 0])
        return context.familiar & (weights[:, 0] >= self.overlooked) & ~named

    def told_by_concepts(self, context: DomainGateContext, images: Tensor) -> DomainGateContext:
        """The context in which these `images` (B,) bool are unfamiliar."""
        own = replace(context.own, own=chosen_of(images, context.own.own, context.by_concepts))
        return replace(context, own=own, familiar=context.familiar & ~images)

    def memories(self, context: DomainGateContext) -> Memories:
        """What ranks captions: photos that look alike, and captions that name the same."""
        own, inside = context.own, self.decoder.decoder
        return Memories(context.familiar, own.likeness - self.threshold, self.decoder, own, inside, own.own)

    def forward_features(self, context: DomainGateContext, words: Tensor) -> DecoderFeatures:
        return self.decoder.forward_features(context.own, words)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.decoder.forward_head(features)

    def start(self, context: DomainGateContext, rows: int) -> State:
        return self.decoder.start(context.own, rows)

    def step(self, context: DomainGateContext, state: State, words: Tensor) -> StepOutput:
        return self.decoder.step(context.own, state, words)


def foreign_kinds(found: Tensor, told: Tensor, *, least: float = -0.5, recall: float = 0.6) -> Tensor:
    """Which of COCO's objects are rare in a domain beside everyday photos. -> (C,) bool.

    `found` (P, C) says what a detector is sure of in each photo of the domain, `told` (G, M) which concepts captions of
    each everyday photo name, -1 for none. A kind is foreign where the logarithm of its share here over its share there,
    times the detector's `recall`, is below `least`.
    """
    kinds = found.shape[1]
    here = (found.float().sum(0) + 1) / (len(found) + 2)
    named = torch.zeros(len(told), kinds + 1, dtype=torch.bool, device=told.device)
    named.scatter_(1, torch.where(told < 0, kinds, told.long()), True)
    there = recall * named[:, :-1].float().mean(0) + 1e-3
    foreign = (here / there).log() < least
    foreign[len(coco_objects()) :] = False
    return foreign


def without_gate(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a model as they were before its decoder, task.decoder.*, got a gate."""
    decoder = "task.decoder."
    if f"{decoder}foreign" not in weights or f"{decoder}decoder.projection" not in weights:
        return weights
    kept = {name: tensor for name, tensor in weights.items() if name != f"{decoder}foreign"}
    inside = f"{decoder}decoder."
    return {f"{decoder}{n.removeprefix(inside)}" if n.startswith(inside) else n: t for n, t in kept.items()}
