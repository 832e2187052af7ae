"""Greedy search: the likeliest word, every time."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from captioning.decoders.base import Context, Decoder
from captioning.generation.candidates import best_words
from captioning.generation.constraints import limits
from captioning.generation.output import Generated
from captioning.generation.rollout import rollout

MEANINGLESS = {
    "forced_words": "one hypothesis cannot be led to them; use generation=beam",
    "beam_size": "it follows one hypothesis; use generation=beam",
    "num_captions": "it finds one caption; use generation=beam or generation=sampling",
    "groups": "it follows one hypothesis; use generation=diverse_beam",
    "length_normalisation": "it never compares captions of different length",
    "temperature": "it draws nothing at random; use generation=sampling",
    "seed": "it draws nothing at random; use generation=sampling",
}


def greedy(
    decoder: Decoder, context: Context, *, max_words: int = 20, details: bool = False, **options: Any
) -> Generated:
    """The likeliest word at every step -> Generated with K = 1 and log-probabilities as scores.

    `options` are those of `captioning.generation.constraints.Limits`. Raises UserError for one without meaning here.
    """

    def likeliest(logits: Tensor, images: Tensor, step: int) -> Tensor:
        return best_words(logits, 1)[1].squeeze(-1)

    allowed = limits("greedy search", {"max_words": max_words, **options}, MEANINGLESS)
    return rollout(decoder, context, rows=1, choose=likeliest, limits=allowed, details=details)
