"""The caption among those of a beam that agrees most with what people said of similar photos."""

from __future__ import annotations

from typing import Any

import torch

from captioning.decoders.base import Context, Decoder
from captioning.decoders.retrieval import RetrievalDecoder
from captioning.errors import UserError
from captioning.generation.beam import beam, check_counts
from captioning.generation.candidates import best_positions
from captioning.generation.output import Generated, generated
from captioning.runtime.option_checks import require_number


@torch.no_grad()
def consensus(
    decoder: Decoder,
    context: Context,
    *,
    weight: float = 1.6,
    beam_size: int = 10,
    num_captions: int = 1,
    details: bool = False,
    **options: Any,
) -> Generated:
    """Beam search, whose `beam_size` captions are ranked anew -> Generated with K = num_captions.

    The score of a caption is what beam search gives it plus `weight` times its mean CIDEr-D (0 to 10) with the captions
    of the photos that a `RetrievalDecoder` is reminded of (Devlin et al. 2015, arXiv:1505.04467, section 3; Mao et al.
    2015, arXiv:1412.6632, section 8). All other options are those of `beam`.
    Raises UserError for an option out of range, or a decoder that remembers nothing.
    """
    if not isinstance(decoder, RetrievalDecoder):
        raise UserError(
            "generation=consensus needs a model that remembers photos and their captions: "
            "captioning remember model=NAME data=NAME output=FOLDER makes one of any other"
        )
    require_number("generation.", weight=weight)
    if weight < 0:
        raise UserError(f"generation.weight is {weight}: it is 0 (beam search alone decides) or above")
    check_counts(num_captions, beam_size)
    words, scores, *_ = beam(decoder, context, beam_size=beam_size, num_captions=beam_size, **options)
    if words.numel():
        scores = scores + weight * decoder.agreement(context, words)
    best = best_positions(scores, num_captions)
    words = words.gather(1, best[..., None].expand(-1, -1, words.shape[-1]))
    return generated(decoder, context, words, scores.gather(1, best), details)
