"""Two decoders: one for photos like those that it was trained on, one that goes by concepts for all others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from captioning.decoders.base import Context, Decoder, DecoderFeatures, State, StepOutput
from captioning.decoders.concept_retrieval import ConceptRetrievalContext, ConceptRetrievalDecoder
from captioning.decoders.familiarity import Memories, has_foreign_region
from captioning.decoders.retrieval import RetrievalContext, RetrievalDecoder
from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.runtime.option_checks import require_number, require_whole
from captioning.text.concepts import concepts
from captioning.text.vocabulary import UNK

SURE = 0.5  # confidence of a region that makes a photo unfamiliar


@dataclass
class RoutedContext(Context):
    """What both decoders prepared, and which images are the first one's."""

    known: RetrievalContext
    other: ConceptRetrievalContext
    familiar: Tensor  # (B,) bool

    def keep(self, images: Tensor) -> RoutedContext:
        return RoutedContext(self.known.keep(images), self.other.keep(images), self.familiar[images])


@dataclass
class RoutedState(State):
    """The states of both."""

    known: State
    other: State

    def select(self, index: Tensor) -> RoutedState:
        return RoutedState(self.known.select(index), self.other.select(index))

    def keep(self, images: Tensor) -> RoutedState:
        return RoutedState(self.known.keep(images), self.other.keep(images))


class RoutedDecoder(Decoder):
    """`known` speaks of familiar photos, `other` of the rest; each judges its own captions in `generation=consensus`.

    A photo is familiar where those that `known` remembers are at least `threshold` alike in the mean (-1 to 1), and no
    region of it, of which the detector is sure, is of a kind that hardly any of them had: `foreign` (C,) says which
    are. `known` looks at the visual tokens alone, and its words are the first `known_words` of the vocabulary.
    """

    def __init__(
        self,
        known: RetrievalDecoder,
        other: ConceptRetrievalDecoder,
        *,
        visual_width: int,
        vocabulary_size: int,
        known_words: int,
        threshold: float = 0.5,
    ):
        super().__init__()
        if not isinstance(known, RetrievalDecoder) or not isinstance(other, ConceptRetrievalDecoder):
            raise UserError("decoder.known remembers photos and decoder.other captions by concepts: name such decoders")
        require_whole("decoder.", known_words=known_words)
        require_number("decoder.", threshold=threshold)
        if not UNK < known_words <= vocabulary_size:
            raise UserError(f"decoder.known_words is {known_words}, of a vocabulary of {vocabulary_size}")
        self.known, self.other, self.threshold = known, other, threshold
        self.known_words, self.vocabulary_size = known_words, vocabulary_size
        self.register_buffer("foreign", torch.zeros(len(concepts()), dtype=torch.bool))

    def prepare(self, memory: VisualMemory) -> RoutedContext:
        plain, strange = memory, has_foreign_region(memory, self.foreign, SURE)
        if memory.classes is not None:
            plain = replace(memory, mask=memory.mask & (memory.classes < 0), classes=None, scores=None)
        known = self.known.prepare(plain)
        return RoutedContext(known, self.other.prepare(memory), (known.likeness >= self.threshold) & ~strange)

    def memories(self, context: RoutedContext) -> Memories:
        """What ranks captions: photos that look alike, and captions that name the same."""
        nearer = context.known.likeness - self.threshold
        return Memories(context.familiar, nearer, self.known, context.known, self.other, context.other)

    def as_known(self, words: Tensor) -> Tensor:
        """Word ids as the first decoder has them."""
        return torch.where(words < self.known_words, words, UNK)

    def chosen(self, familiar: Tensor, known: Tensor, other: Tensor) -> Tensor:
        """Logits of both, (..., its words) -> of one of them (..., V)."""
        known = F.pad(known.float(), (0, self.vocabulary_size - known.shape[-1]), value=-torch.inf)
        return torch.where(familiar, known, other.float())

    def forward_features(self, context: RoutedContext, words: Tensor) -> DecoderFeatures:
        known = self.known.forward_features(context.known, self.as_known(words))
        other = self.other.forward_features(context.other, words)
        familiar = context.familiar.view(-1, 1, 1, 1)
        shape = (*words.shape, 1)  # carried along, since words are named where nobody knows the image any more
        width = known.features.new_full(shape, known.features.shape[-1])
        features = torch.cat([known.features, other.features, familiar.expand(shape).to(width), width], -1)
        if known.attention is None or other.attention is None:
            return DecoderFeatures(features, None)
        return DecoderFeatures(features, torch.where(familiar, known.attention, other.attention))

    def forward_head(self, features: Tensor) -> Tensor:
        if not features.numel():
            return features.new_zeros(*features.shape[:-1], self.vocabulary_size)
        width = int(features[..., -1].max())
        known, other, familiar, _ = features.split([width, features.shape[-1] - width - 2, 1, 1], -1)
        return self.chosen(familiar > 0, self.known.forward_head(known), self.other.forward_head(other))

    def start(self, context: RoutedContext, rows: int) -> RoutedState:
        return RoutedState(self.known.start(context.known, rows), self.other.start(context.other, rows))

    def step(self, context: RoutedContext, state: RoutedState, words: Tensor) -> StepOutput:
        known = self.known.step(context.known, state.known, self.as_known(words))
        other = self.other.step(context.other, state.other, words)
        familiar = context.familiar.view(-1, 1, 1)
        attention = None
        if known.attention is not None and other.attention is not None:
            attention = torch.where(familiar, known.attention, other.attention)
        logits = self.chosen(familiar, known.logits, other.logits)
        return StepOutput(logits, RoutedState(known.state, other.state), attention)
