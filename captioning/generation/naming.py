"""Captions that name the two concepts which count most in an image, where a search by likelihood found none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from captioning.decoders.base import Context, Decoder
from captioning.decoders.concept_retrieval import ConceptRetrievalContext, ConceptRetrievalDecoder
from captioning.generation.beam import beam
from captioning.text.vocabulary import PAD


def with_the_weightiest_named(
    decoder: Decoder,
    context: Context,
    words: Tensor,
    scores: Tensor,
    concepts: ConceptRetrievalDecoder,
    believed: ConceptRetrievalContext,
    *,
    least: float,
    beam_size: int,
    together: bool = False,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    """Candidates (B, K, T) and scores (B, K), and behind them up to twice `beam_size` more, -inf where there are none.

    Of an image in which one of the two weightiest concepts other than a person counts `least` at least, and no
    candidate names it, they are the best captions that do. `together` asks for both in one caption where both count
    so much, in one search instead of two: it adds up to `beam_size`. `options` are those of `beam`; where they force
    words, nothing is added.
    """
    if options.pop("forced_words", ()):
        return words, scores
    kinds, weights = concepts.weightiest(believed, 2)
    wanted = weights >= least  # (B, 2)
    for columns in ([0, 1],) if together else ([0], [1]):
        demands = torch.where(wanted[:, columns], kinds[:, columns], -1)
        words, scores = with_named(decoder, context, words, scores, concepts, demands, beam_size, options)
    return words, scores


def with_named(
    decoder: Decoder,
    context: Context,
    words: Tensor,
    scores: Tensor,
    concepts: ConceptRetrievalDecoder,
    demands: Tensor,
    beam_size: int,
    options: Mapping[str, Any],
) -> tuple[Tensor, Tensor]:
    """The same for concepts `demands` (B, D), -1 for none, which a caption has to name all."""
    images, forced = [], []
    for image, kinds in enumerate(demands.tolist()):
        asked = [kind for kind in kinds if kind >= 0 and concepts.phrases_of(kind)]
        if asked and not any(concepts.names_all(ids, asked) for ids in words[image].tolist()):
            images.append(image)
            forced.append([concepts.phrases_of(kind) for kind in asked])
    if not images:
        return words, scores
    mine = torch.tensor(images, device=words.device)
    found = beam(
        decoder,
        context.keep(mine),
        beam_size=beam_size,
        num_captions=beam_size,
        forced_words_of=forced,
        **options,
    )
    longest = max(words.shape[2], found.words.shape[2])
    words, added = (F.pad(part, (0, longest - part.shape[2]), value=PAD) for part in (words, found.words))
    more = words.new_full((len(words), beam_size, longest), PAD)
    gains = scores.new_full((len(words), beam_size), -torch.inf)
    more[mine], gains[mine] = added, found.scores
    return torch.cat([words, more], 1), torch.cat([scores, gains], 1)
