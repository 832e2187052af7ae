"""A decoder that reads concept tokens, and may say their words: what a classifier or a detector believes to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from captioning.decoders.base import Context, Decoder, DecoderFeatures, State, StepOutput
from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.text.vocabulary import UNK, Vocabulary


@dataclass
class ConceptContext(Context):
    """What the decoder itself prepared, the word that each token stands for, and what it was prepared of."""

    own: Context
    words: Tensor  # (B, N) word ids, UNK where a token is no concept or its word is not in the vocabulary
    memory: VisualMemory

    def keep(self, images: Tensor) -> ConceptContext:
        return replace(self, own=self.own.keep(images), words=self.words[images], memory=self.memory.keep(images))


class ConceptReader(Decoder[ConceptContext, State]):
    """Speaks as `decoder` does, to which each concept of a memory is one more token.

    Tokens of a memory whose class is 0 or more are concepts, of which there are `concepts` kinds: what the encoder gave
    them is replaced by an embedding, `rank` wide, of the class and of the score, lifted to the width of the others.
    Their boxes are kept, so that the decoder places them as it places other tokens. A memory without classes is read
    as if this were not here.

    With `copy` the word of a concept may be copied: of the attention that falls on concepts a share, which is learned,
    goes to their words, and what is left of the probability to what the decoder says by itself (after See et al. 2017,
    arXiv:1704.04368). So a word can be said that no training caption had. `name_concepts` tells the words.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        visual_width: int,
        vocabulary_size: int,
        concepts: int,
        rank: int = 128,
        copy: bool = False,
    ):
        super().__init__()
        if not isinstance(decoder, Decoder) or isinstance(decoder, ConceptReader):
            raise UserError("decoder.decoder: name a decoder there, one that reads no concepts yet")
        self.decoder, self.concepts, self.vocabulary_size = decoder, concepts, vocabulary_size
        self.embed = nn.Embedding(concepts, rank)
        self.weigh = nn.Linear(1, rank)
        self.lift = nn.Linear(rank, visual_width)
        self.share = nn.Parameter(torch.zeros(1)) if copy else None  # before a sigmoid
        if copy:
            self.register_buffer("words", torch.full((concepts,), UNK))

    def name_concepts(self, names: Sequence[str], vocabulary: Vocabulary) -> None:
        """The first word of each concept's name is what is copied, where the vocabulary has it."""
        if self.share is not None:
            known = [vocabulary.ids.get(name.split()[0], UNK) for name in names]
            self.words[: len(known)] = torch.tensor(known)

    def read(self, memory: VisualMemory) -> VisualMemory:
        """The memory with its concepts as tokens of the decoder's own making."""
        if memory.classes is None:
            return memory
        concept = (memory.classes >= 0) & memory.mask  # (B, N)
        known = self.embed(memory.classes[concept])  # (concepts there, rank)
        tokens = self.lift(known + self.weigh(memory.scores[concept][:, None].to(known.dtype)))
        return replace(memory, tokens=memory.tokens.masked_scatter(concept[..., None], tokens.to(memory.tokens.dtype)))

    def prepare(self, memory: VisualMemory) -> ConceptContext:
        own = self.decoder.prepare(self.read(memory))
        words = torch.full(memory.mask.shape, UNK, device=memory.mask.device)
        if self.share is not None and memory.classes is not None:
            words = self.words[memory.classes.clamp(min=0)].masked_fill((memory.classes < 0) | ~memory.mask, UNK)
        return ConceptContext(own, words, memory)

    def without_concepts(self, context: ConceptContext) -> ConceptContext:
        """The context of the same images where nobody believes to see anything."""
        return self.prepare(context.memory.without_concepts())

    def forward_features(self, context: ConceptContext, words: Tensor) -> DecoderFeatures:
        features, attention = self.decoder.forward_features(context.own, words)
        if self.share is None:
            return DecoderFeatures(features, attention)
        nothing = features.new_zeros(*features.shape[:-1], 0, dtype=torch.float32)
        copied = nothing if attention is None else self.copied(context, attention)  # (B, R, T, N)
        ids = nothing if attention is None else context.words[:, None, None].expand_as(copied).to(copied.dtype)
        # carried along, since the words are named where nobody knows the image any more
        count = nothing.new_full((*features.shape[:-1], 1), copied.shape[-1])
        return DecoderFeatures(torch.cat([features.to(copied.dtype), copied, ids, count], -1), attention)

    def forward_head(self, features: Tensor) -> Tensor:
        if self.share is None or not features.numel():
            return self.decoder.forward_head(features)
        count = int(features[..., -1].max())
        own, copied, ids = features[..., :-1].split([features.shape[-1] - 1 - 2 * count, count, count], -1)
        logits = self.decoder.forward_head(own)
        return self.with_copies(logits, copied, ids.long()) if count else logits

    def start(self, context: ConceptContext, rows: int) -> State:
        return self.decoder.start(context.own, rows)

    def step(self, context: ConceptContext, state: State, words: Tensor) -> StepOutput:
        output = self.decoder.step(context.own, state, words)
        if self.share is None or output.attention is None:
            return output
        copied = self.copied(context, output.attention)  # (B, R, N)
        return output._replace(logits=self.with_copies(output.logits, copied, context.words[:, None].expand_as(copied)))

    def copied(self, context: ConceptContext, attention: Tensor) -> Tensor:
        """The probability with which each token's word is copied. attention (B, ..., N) -> the same shape, float32."""
        nameable = (context.words != UNK).view(len(attention), *[1] * (attention.dim() - 2), -1)
        return self.share.float().sigmoid() * attention.float() * nameable

    def with_copies(self, logits: Tensor, copied: Tensor, ids: Tensor) -> Tensor:
        """logits (..., V) and the probabilities copied (..., N) of words ids (..., N) -> log-probabilities (..., V)."""
        own = logits.float().log_softmax(-1) + torch.log1p(-copied.sum(-1, keepdim=True))
        said = torch.zeros_like(own).scatter_add(-1, ids, copied)
        return torch.logaddexp(own, said.clamp(min=torch.finfo(said.dtype).tiny).log())
