"""The caption among those of a beam that agrees most with what people said of similar photos."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from captioning.decoders.base import Context, Decoder
from captioning.decoders.concept_retrieval import WORTH_NAMING, ConceptRetrievalContext, ConceptRetrievalDecoder
from captioning.decoders.domain_gate import DomainGate
from captioning.decoders.familiarity import STEEPNESS
from captioning.decoders.retrieval import RetrievalDecoder
from captioning.decoders.routed import RoutedDecoder
from captioning.errors import UserError
from captioning.generation.beam import beam, check_counts
from captioning.generation.candidates import best_positions
from captioning.generation.naming import with_the_weightiest_named
from captioning.generation.output import Generated, generated
from captioning.generation.unaided import with_unaided, without_concepts
from captioning.runtime.option_checks import require_number
from captioning.text.vocabulary import PAD


@torch.no_grad()
def consensus(
    decoder: Decoder,
    context: Context,
    *,
    weight: float = 1.6,
    concept_weight: float = 1.6,
    familiar: float | None = None,
    concept_gap: float | None = None,
    unsupported: float = 0.0,
    naming: float = 0.0,
    familiar_unsupported: float = 1.0,
    familiar_naming: float = 1.0,
    insist: float | None = None,
    together: bool = False,
    beam_size: int = 10,
    num_captions: int = 1,
    details: bool = False,
    **options: Any,
) -> Generated:
    """Beam search, whose `beam_size` captions are ranked anew -> Generated with K = num_captions.

    The score of a caption is what beam search gives it plus `weight` times its mean CIDEr-D (0 to 10) with the captions
    of the photos that a `RetrievalDecoder` is reminded of (Devlin et al. 2015, arXiv:1505.04467, section 3; Mao et al.
    2015, arXiv:1412.6632, section 8), plus `concept_weight` times that with the captions that a
    `ConceptRetrievalDecoder` finds to name the same, less `unsupported` for each object that it names and neither
    detector nor classifier believes to see, plus `naming` times how much the two weightiest concepts that it names
    count, by belief and size, a person left out. With `insist` the two weightiest of an image, if they count so much
    (0 to 1), are named by some of the candidates, if need be by a search of half as many beams that is forced to
    (Anderson et al. 2017, arXiv:1612.00576); `together`: both by one. What counts less than that, and less than
    `WORTH_NAMING`, gains nothing by `naming`. A model may have one of the two memories or both, the photos outside.
    `familiar` is how alike the remembered photos are, from -1 to 1, to one of which both memories know as much: both
    weights then are shared out between them, by how much more or less alike they are to the photo at hand, and of
    `unsupported` and `naming` less is left the more alike they are, down to the shares `familiar_unsupported` and
    `familiar_naming` (0 to 1).
    `concept_gap` judges that by words in place of looks: half as many beams search without concepts as well, their
    captions are candidates, and what a word of the best of them loses in log-probability where the concepts are known
    is so much in a photo of which both memories know as much; the more a photo loses, the less familiar it is.
    A `RoutedDecoder` and a `DomainGate` have one memory for familiar photos, which alone counts there, and the other
    for all others. All other options are those of `beam`. Raises UserError for an option out of range, or a decoder
    that remembers nothing.
    """
    routed = decoder if isinstance(decoder, (RoutedDecoder, DomainGate)) else None
    looks = decoder if isinstance(decoder, RetrievalDecoder) else None
    reminded: Any = context  # of its decoder's own kind
    reader, inside = (looks.decoder, reminded.own) if looks else (decoder, reminded)
    concepts = reader if isinstance(reader, ConceptRetrievalDecoder) else None
    if routed is None and looks is None and concepts is None:
        raise UserError(
            "generation=consensus needs a model that remembers photos and their captions: "
            "captioning remember model=NAME data=NAME output=FOLDER makes one of any other"
        )
    counts: dict[str, Any] = {
        "weight": weight,
        "concept_weight": concept_weight,
        "unsupported": unsupported,
        "naming": naming,
        "familiar_unsupported": familiar_unsupported,
        "familiar_naming": familiar_naming,
    }
    require_number(
        "generation.",
        **counts,
        **{name: value for name, value in {"insist": insist, "concept_gap": concept_gap}.items() if value is not None},
    )
    for name, value in counts.items():
        if value < 0:
            raise UserError(f"generation.{name} is {value}: it is 0 (beam search alone decides) or above")
    check_counts(num_captions, beam_size)
    words, scores, *_ = beam(decoder, context, beam_size=beam_size, num_captions=beam_size, **options)
    if insist is not None and words.numel() and (wanted := _named_by(decoder, context)) is not None:
        words, scores = with_the_weightiest_named(
            decoder,
            context,
            words,
            scores,
            *wanted,
            least=insist,
            beam_size=max(1, beam_size // 2),
            together=together,
            **options,
        )
    least = WORTH_NAMING if insist is None else min(insist, WORTH_NAMING)
    gap = None
    if concept_gap is not None and words.numel() and looks and (unaided := without_concepts(decoder, context)):
        words, scores, gap = with_unaided(
            decoder, context, unaided, words, scores, beam_size=max(1, beam_size // 2), **options
        )
    if words.numel() and routed:
        shares = {"looks": weight, "names": concept_weight, "unsupported": unsupported, "naming": naming}
        scores = scores + routed.memories(reminded).rank(words, **shares, least=least)
    elif words.numel():
        share, known = torch.ones(2, len(words), 1, device=words.device), torch.zeros(len(words), device=words.device)
        nearer = reminded.likeness - familiar if familiar is not None and looks and concepts else None
        if gap is not None and concept_gap is not None:
            nearer = concept_gap - gap
        if nearer is not None:
            known = (STEEPNESS * nearer).sigmoid()
            share = 2 * torch.stack([known, 1 - known])[..., None]
        if looks:
            scores = scores + weight * share[0] * looks.agreement(reminded, words)
        if concepts:
            scores = scores + concept_weight * share[1] * concepts.agreement(inside, words)
            if unsupported:
                scores = scores - left_of(familiar_unsupported, known) * unsupported * concepts.unsupported(
                    inside, words
                )
            if naming:
                scores = scores + left_of(familiar_naming, known) * naming * concepts.salience(inside, words, least)
    best = best_positions(scores, num_captions)
    words, scores = words.gather(1, best[..., None].expand(-1, -1, words.shape[-1])), scores.gather(1, best)
    if isinstance(decoder, DomainGate) and words.numel():
        again = decoder.overlooking(reminded, words[:, 0])
        if again.any():
            context, images = decoder.told_by_concepts(reminded, again), again.nonzero().flatten()
            counts |= {"insist": insist, "together": together, "beam_size": beam_size, "num_captions": num_captions}
            told = consensus(decoder, context.keep(images), **counts, **options)
            longest = max(words.shape[2], told.words.shape[2])
            words = F.pad(words, (0, longest - words.shape[2]), value=PAD)
            words[images] = F.pad(told.words, (0, longest - told.words.shape[2]), value=PAD)
            scores[images] = told.scores
    return generated(decoder, context, words, scores, details)


def left_of(share: float, known: Tensor) -> Tensor:
    """What is left of a weight for images that are so well `known` (B,), 0 to 1, if `share` is left for the best known.
    -> (B, 1)."""
    return 1 - (1 - share) * known[:, None]


def _named_by(decoder: Decoder, context: Any) -> tuple[ConceptRetrievalDecoder, ConceptRetrievalContext] | None:
    """The decoder that knows what is believed to be in the images, and what that is; None where none does."""
    if isinstance(decoder, ConceptRetrievalDecoder):
        return decoder, context
    if isinstance(decoder, RoutedDecoder):
        return decoder.other, context.other
    if isinstance(decoder, (DomainGate, RetrievalDecoder)):
        return _named_by(decoder.decoder, context.own)
    return None


def beam_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options of `consensus` that `beam` has as well, or its limits."""
    alone = signature(consensus).parameters.keys() - signature(beam).parameters.keys()
    return {name: value for name, value in options.items() if name not in alone}
