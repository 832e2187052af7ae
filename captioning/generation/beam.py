"""Beam search, plain and diverse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch

from captioning.decoders.base import Context, Decoder
from captioning.errors import UserError
from captioning.generation.constraints import limits
from captioning.generation.forced import Demands, forced_words
from captioning.generation.output import Generated, generated
from captioning.generation.search import Plan, Search
from captioning.runtime.option_checks import require_number, require_whole

Normalisation = Literal["none", "average", "gnmt"]
Finished = Literal["keep", "release", "aside"]

RANDOM = "it draws nothing at random; use generation=sampling"
MEANINGLESS = {
    **dict.fromkeys(("temperature", "top_k", "top_p", "seed"), RANDOM),
    "num_samples": "it draws nothing at random; use num_captions, or generation=sampling",
}
ONE_BEAM = dict.fromkeys(("groups", "diversity"), "it has one beam; use generation=diverse_beam")


def beam(
    decoder: Decoder,
    context: Context,
    *,
    beam_size: int = 5,
    num_captions: int = 1,
    length_normalisation: Normalisation = "none",
    alpha: float = 0.6,
    finished: Finished = "keep",
    max_words: int = 20,
    details: bool = False,
    forced_words_of: Sequence[Demands] | None = None,
    **options: Any,
) -> Generated:
    """The `num_captions` best captions among `beam_size` hypotheses an image -> Generated with K = num_captions.

    Captions are ranked by log-probability, divided by nothing ("none"), by their length ("average"), or by
    ((5 + length) / 6) ** alpha ("gnmt", Wu et al. 2016, arXiv:1609.08144); the length counts EOS. An image stops as
    soon as no unfinished hypothesis can enter its answer. With forced words there are `beam_size` hypotheses for
    every number of words still to be forced. `forced_words_of` forces those of each image on it alone.

    `finished` captions "keep" a place among the hypotheses as long as they are among the likeliest, or "release" it
    once they are finished, as in most code of the field, or stand "aside" from the beginning, as in transformers. Only
    without "keep" can a normalised score find all the longer captions that it prefers.
    `options` are those of `captioning.generation.constraints.Limits`.
    Raises UserError for an option out of range or without meaning here.
    """
    require_finished(finished)
    finished = "release" if finished == "aside" and beam_size == 1 else finished  # one hypothesis is greedy search
    plan = Plan(beam_size, 1, 0.0, num_captions, norms(length_normalisation, alpha, max_words), finished)
    options = {"max_words": max_words, **options}
    return search(decoder, context, plan, num_captions, options, {**MEANINGLESS, **ONE_BEAM}, details, forced_words_of)


def diverse_beam(
    decoder: Decoder,
    context: Context,
    *,
    beam_size: int = 6,
    groups: int = 3,
    diversity: float = 0.5,
    num_captions: int = 1,
    length_normalisation: Normalisation = "none",
    alpha: float = 0.6,
    finished: Finished = "keep",
    max_words: int = 20,
    details: bool = False,
    **options: Any,
) -> Generated:
    """Beam search in `groups` that keep apart (Vijayakumar et al. 2018, arXiv:1610.02424) -> Generated.

    The groups choose one after the other at every step; for each hypothesis of an earlier group that has just said a
    word, the word costs `diversity` in log-probability (Hamming diversity). The cost decides which words are chosen
    and is no part of the scores. Every group has `beam_size / groups` hypotheses and gives its best captions, as many
    as the others do; the best `num_captions` of them are returned. Everything else is as in `beam`.
    """
    require_whole("generation.", beam_size=beam_size, groups=groups, num_captions=num_captions)
    require_number("generation.", diversity=diversity)
    if groups < 1 or beam_size % groups:
        raise UserError(f"generation.beam_size={beam_size} does not divide into generation.groups={groups} equal beams")
    if diversity < 0:
        raise UserError(f"generation.diversity is {diversity}: it is 0 or above")
    captions = -(-num_captions // groups)
    require_finished(finished)
    divisors = norms(length_normalisation, alpha, max_words)
    plan = Plan(beam_size // groups, groups, diversity, captions, divisors, finished)
    options = {"max_words": max_words, **options}
    return search(decoder, context, plan, num_captions, options, MEANINGLESS, details)


def norms(kind: str, alpha: float, max_words: int) -> list[float]:
    """What the log-probability of a caption is divided by, for each length from 0 to `max_words`."""
    require_whole("generation.", max_words=max_words)
    require_number("generation.", alpha=alpha)
    lengths = range(max_words + 1)
    if kind == "none":
        return [1.0 for _ in lengths]
    if kind == "average":
        return [float(max(1, length)) for length in lengths]
    if kind != "gnmt":
        raise UserError(f"generation.length_normalisation is {kind!r}: it is 'none', 'average' or 'gnmt'")
    if alpha < 0:
        raise UserError(f"generation.alpha is {alpha}: it is 0 (longer captions gain nothing) or above")
    return [((5 + length) / 6) ** alpha for length in lengths]


def require_finished(finished: str) -> None:
    """Raises UserError for a way of treating finished captions that there is not."""
    if finished not in get_args(Finished):
        raise UserError(f"generation.finished is {finished!r}: it is {', '.join(get_args(Finished))}")


def check_counts(num_captions: int, beam_size: int) -> None:
    """Raises UserError where a search of that size cannot give so many captions."""
    require_whole("generation.", beam_size=beam_size, num_captions=num_captions)
    if not 1 <= num_captions <= beam_size:
        raise UserError(
            f"generation.num_captions is {num_captions} and generation.beam_size is {beam_size}: "
            "a search gives at least one caption and no more than it has hypotheses"
        )


@torch.no_grad()
def search(
    decoder: Decoder,
    context: Context,
    plan: Plan,
    num_captions: int,
    options: Mapping[str, Any],
    meaningless: Mapping[str, str],
    details: bool,
    forced_words_of: Sequence[Demands] | None = None,
) -> Generated:
    """Carries out a plan. Raises UserError where the options contradict it, or each other."""
    check_counts(num_captions, plan.width * plan.groups)
    allowed = limits("beam search", options, meaningless)
    forced = forced_words(allowed, len(context), context.device, forced_words_of)
    words, scores = Search(context, plan, allowed, forced).run(decoder, context)
    words, scores = words[:, :num_captions], scores[:, :num_captions]
    if forced and bool((scores[:, 0] == -torch.inf).any()):
        raise UserError("no caption can hold all of generation.forced_words within the other limits: relax them")
    return generated(decoder, context, words, scores, details)
