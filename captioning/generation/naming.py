"""Captions that name the two concepts which count most in an image, where a search by likelihood found none."""

from __future__ import annotations

from collections import defaultdict
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
    **options: Any,
) -> tuple[Tensor, Tensor]:
    """Candidates (B, K, T) and scores (B, K), and behind them up to twice `beam_size` more, -inf where there are none.

    Of an image in which one of the two weightiest concepts other than a person counts `least` at least, and no
    candidate names it, they are the best captions that do. `options` are those of `beam`; where they force words,
    nothing is added.
    """
    if options.pop("forced_words", ()):
        return words, scores
    kinds, weights = concepts.weightiest(believed, 2)
    for kind, weight in zip(kinds.unbind(1), weights.unbind(1), strict=True):
        wanted = weight >= least
        words, scores = with_named(decoder, context, words, scores, concepts, kind, wanted, beam_size, options)
    return words, scores


def with_named(
    decoder: Decoder,
    context: Context,
    words: Tensor,
    scores: Tensor,
    concepts: ConceptRetrievalDecoder,
    kinds: Tensor,
    wanted: Tensor,
    beam_size: int,
    options: Mapping[str, Any],
) -> tuple[Tensor, Tensor]:
    """The same for one concept `kinds` (B,) of each image where it is `wanted` (B,)."""
    named = concepts.names_any(words, kinds)
    groups = defaultdict(list)
    for image, (kind, want, there) in enumerate(zip(kinds.tolist(), wanted.tolist(), named.tolist(), strict=True)):
        if want and not there and concepts.phrases_of(kind):
            groups[kind].append(image)
    if not groups:
        return words, scores
    more = words.new_full((len(words), beam_size, words.shape[2]), PAD)
    gains = scores.new_full((len(words), beam_size), -torch.inf)
    for kind, images in groups.items():
        mine = torch.tensor(images, device=words.device)
        demand = [concepts.phrases_of(kind)]
        found = beam(
            decoder, context.keep(mine), beam_size=beam_size, num_captions=beam_size, forced_words=demand, **options
        )
        longest = max(more.shape[2], found.words.shape[2])
        more, words = (F.pad(part, (0, longest - part.shape[2]), value=PAD) for part in (more, words))
        more[mine] = F.pad(found.words, (0, longest - found.words.shape[2]), value=PAD)
        gains[mine] = found.scores
    return torch.cat([words, more], 1), torch.cat([scores, gains], 1)
