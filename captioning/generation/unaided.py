"""Captions that a search without concepts finds, and how much the concepts of an image speak against them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from captioning.decoders.base import Context, Decoder
from captioning.decoders.concept_retrieval import ConceptRetrievalDecoder
from captioning.decoders.concepts import ConceptReader
from captioning.decoders.retrieval import RetrievalDecoder
from captioning.generation.beam import beam, norms
from captioning.generation.output import explain
from captioning.text.vocabulary import PAD


def without_concepts(decoder: Decoder, context: Any) -> Context | None:
    """The context of the same images where nobody believes to see anything; None for a decoder that reads no concepts.

    What is remembered of the images stays as it is.
    """
    if isinstance(decoder, ConceptReader):
        return decoder.without_concepts(context)
    if isinstance(decoder, (RetrievalDecoder, ConceptRetrievalDecoder)):
        own = without_concepts(decoder.decoder, context.own)
        return None if own is None else replace(context, own=own)
    return None


def with_unaided(
    decoder: Decoder,
    context: Context,
    unaided: Context,
    words: Tensor,
    scores: Tensor,
    *,
    beam_size: int,
    max_words: int = 20,
    **options: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    """Candidates (B, K, T) and scores (B, K) with `beam_size` more of a search in `unaided`, and their gap (B,).

    Their scores are those of the search in `context`; -inf for captions that are candidates already. The gap is how
    much less likely a word of the best of them is in `context`, in nats: about 0 where concepts add nothing.
    """
    found = beam(decoder, unaided, beam_size=beam_size, num_captions=beam_size, max_words=max_words, **options)
    longest = max(words.shape[2], found.words.shape[2])
    words, added = (F.pad(part, (0, longest - part.shape[2]), value=PAD) for part in (words, found.words))
    divisors = norms(options.get("length_normalisation", "none"), options.get("alpha", 0.6), max_words)
    lengths = (added != PAD).sum(-1)  # (B, beam_size)
    norm = torch.tensor(divisors, device=scores.device)[lengths]
    aided = explain(decoder, context, added)[0].sum(-1)
    gap = (found.scores[:, 0] * norm[:, 0] - aided[:, 0]) / lengths[:, 0].clamp(min=1)
    twice = (added[:, :, None] == words[:, None]).all(-1).any(-1)
    missing = twice | found.scores.isneginf()
    return (
        torch.cat([words, added], 1),
        torch.cat([scores, (aided / norm).masked_fill(missing, -torch.inf)], 1),
        gap.nan_to_num(),
    )
