"""Captions drawn at random from what the decoder believes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from captioning.decoders.base import Context, Decoder
from captioning.errors import UserError
from captioning.generation.candidates import best_words
from captioning.generation.constraints import limits
from captioning.generation.output import Generated
from captioning.generation.rollout import rollout
from captioning.runtime.option_checks import require_number, require_whole

MEANINGLESS = {
    "forced_words": "a caption led to given words is no sample of the decoder; use generation=beam",
    "beam_size": "samples do not compete; use generation=beam, or num_samples for how many to draw",
    "num_captions": "it draws num_samples captions and keeps all",
    "groups": "samples do not compete; use generation=diverse_beam",
    "length_normalisation": "samples do not compete; use generation=beam",
}


def sample(
    decoder: Decoder,
    context: Context,
    *,
    num_samples: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int | Sequence[int] | None = None,
    generator: torch.Generator | None = None,
    max_words: int = 20,
    details: bool = False,
    **options: Any,
) -> Generated:
    """`num_samples` captions an image, drawn independently -> Generated with K = num_samples, in the order drawn.

    Every word is drawn from the decoder's distribution at `temperature`, cut to the `top_k` likeliest words (0: all)
    and then to the fewest that hold `top_p` of what is left (nucleus sampling, Holtzman et al. 2020, arXiv:1904.09751).
    Scores are log-probabilities at temperature 1, nothing cut.

    With `seed`, what is drawn for an image depends on the seed and the image alone, not on its place or company in the
    batch: all images use the same random numbers. Give one seed an image for independent ones. Without it, images are
    independent, and `generator` (default: torch's own) decides. `options` are those of
    `captioning.generation.constraints.Limits`. Raises UserError for an option out of range or without meaning here.
    """
    check(num_samples, temperature, top_k, top_p)
    allowed = limits("sampling", {"max_words": max_words, **options}, MEANINGLESS)
    uniform = draw(len(context), num_samples, max_words, seed, generator).to(context.device)

    def choose(logits: Tensor, images: Tensor, step: int) -> Tensor:
        return pick(logits, uniform[images, :, step], temperature, top_k, top_p)

    return rollout(decoder, context, rows=num_samples, choose=choose, limits=allowed, details=details)


def check(num_samples: int, temperature: float, top_k: int, top_p: float) -> None:
    """Raises UserError for a number out of its range."""
    require_whole("generation.", num_samples=num_samples, top_k=top_k)
    require_number("generation.", temperature=temperature, top_p=top_p)
    if num_samples < 1:
        raise UserError(f"generation.num_samples is {num_samples}: draw at least one")
    if not temperature > 0:
        raise UserError(
            f"generation.temperature is {temperature}: it is above 0; for the likeliest words use generation=greedy"
        )
    if top_k < 0:
        raise UserError(f"generation.top_k is {top_k}: give a number of words, or 0 for all")
    if not 0 < top_p <= 1:
        raise UserError(f"generation.top_p is {top_p}: it is above 0 and at most 1")


def draw(
    images: int, rows: int, steps: int, seed: int | Sequence[int] | None, generator: torch.Generator | None
) -> Tensor:
    """One uniform number in [0, 1) for every word: (B, R, T)."""
    if seed is None:
        device = "cpu" if generator is None else generator.device
        return torch.rand(images, rows, steps, generator=generator, device=device)
    if generator is not None:
        raise UserError("generation.seed and generation.generator are both set: give one of them")
    if isinstance(seed, int):
        return torch.rand(rows, steps, generator=torch.Generator().manual_seed(seed)).expand(images, -1, -1)
    if len(seed) != images:
        raise UserError(f"generation.seed has {len(seed)} seeds for {images} images: give one, or one an image")
    return torch.stack([torch.rand(rows, steps, generator=torch.Generator().manual_seed(one)) for one in seed])


def pick(logits: Tensor, uniform: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
    """The word at which the cumulative probability passes `uniform`. logits (B, R, V), uniform (B, R) -> ids (B, R)."""
    ids = None
    if 0 < top_k < logits.shape[-1]:
        logits, ids = best_words(logits, top_k)
    elif top_p < 1:
        logits, ids = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1)
    if top_p < 1:
        likelier = probabilities.cumsum(-1) - probabilities  # mass of the words before each
        probabilities = probabilities.masked_fill(likelier >= top_p, 0)
    cumulative = probabilities.cumsum(-1)
    total = cumulative[..., -1:]
    # below the total whatever the rounding, or a word of probability zero at the end could be drawn
    passed = torch.minimum(uniform[..., None].to(total) * total, torch.nextafter(total, torch.zeros_like(total)))
    place = torch.searchsorted(cumulative, passed, right=True)
    return (place if ids is None else ids.gather(-1, place)).squeeze(-1)
