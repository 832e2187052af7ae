"""Rows that go their own way: what greedy search and sampling share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from captioning.decoders.base import Context, Decoder
from captioning.generation.batch import FinishedCaptions, due
from captioning.generation.constraints import Limits, Rules
from captioning.generation.output import Generated, generated
from captioning.text.vocabulary import BOS, EOS, PAD

Choose = Callable[[Tensor, Tensor, int], Tensor]
"""logits (B, R, V) with -inf for what may not be said, images (B,) by their place in the batch, step -> words (B, R)"""


@torch.no_grad()
def rollout(
    decoder: Decoder, context: Context, *, rows: int, choose: Choose, limits: Limits, details: bool
) -> Generated:
    """`rows` captions an image, each word `choose`n for every row by itself; scores are log-probabilities."""
    everything, device, images = context, context.device, len(context)
    rules = Rules(limits, device)
    answers = FinishedCaptions(images, rows, limits.max_words, device)
    if not images:
        return Generated(answers.words, answers.scores)
    words = torch.full((images, rows, limits.max_words), PAD, device=device)
    scores = torch.zeros(images, rows, device=device)
    done = torch.zeros(images, rows, dtype=torch.bool, device=device)
    last = torch.full((images, rows), BOS, device=device)
    state = decoder.start(context, rows)
    for step in range(limits.max_words):
        logits, state, _ = decoder.step(context, state, last)  # (B, R, V)
        logits = logits.float()
        total = logits.logsumexp(-1)
        rules.apply(logits, words[..., :step])
        last = choose(logits, answers.images, step)
        gain = logits.gather(-1, last[..., None]).squeeze(-1) - total
        scores = scores + gain.clamp(max=0).masked_fill(done, 0)
        last = last.masked_fill(done, PAD)
        words[..., step] = last
        done = done | (last == EOS)
        if due(step, device) and (stay := answers.leave(done.all(1), words, scores)) is not None:
            if not len(stay):
                break
            context, state = context.keep(stay), state.keep(stay)
            words, scores, done, last = words[stay], scores[stay], done[stay], last[stay]
    else:
        answers.record(words, scores)
    return generated(decoder, everything, answers.words, answers.scores, details)
