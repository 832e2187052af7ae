"""The best of many numbers, with ties broken by position: the same on every device and in every batch."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 64  # words whose maximum is taken before any is looked at singly


def best_positions(values: Tensor, count: int) -> Tensor:
    """Positions of the `count` highest values (..., n), best first, the earlier first among equals -> (..., count).

    A float's bits, read as an integer with negative ones mirrored, sort as the float does. With the position in the
    lower half of a 64-bit key, no two keys are equal, and `topk` has no choice left to make.
    """
    bits = (values.float() + 0.0).view(torch.int32)  # + 0.0 makes -0.0 the equal of 0.0
    order = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    last = values.shape[-1] - 1
    keys = (order << 32) + torch.arange(last, -1, -1, device=values.device)
    return last - (keys.topk(count).values & 0xFFFFFFFF)


def best_words(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """logits (..., V) -> the `count` highest and their ids, (..., count) each; the lower id first among equals.

    Only blocks with one of the `count` highest maxima can hold an answer, so one fast pass of maxima over the
    vocabulary leaves a few hundred words to rank.
    """
    size = logits.shape[-1]
    blocks = -(-size // BLOCK)
    if blocks <= 2 * count:
        ids = best_positions(logits, count)
        return logits.gather(-1, ids), ids
    whole = size // BLOCK * BLOCK
    maxima = logits[..., :whole].unflatten(-1, (-1, BLOCK)).amax(-1)
    if whole < size:
        maxima = torch.cat([maxima, logits[..., whole:].amax(-1, keepdim=True)], -1)
    chosen = best_positions(maxima, count).sort(dim=-1).values  # ascending, so that position follows id
    ids = (chosen[..., None] * BLOCK + torch.arange(BLOCK, device=logits.device)).flatten(-2)
    values = logits.gather(-1, ids.clamp(max=size - 1)).masked_fill(ids >= size, -torch.inf)
    best = best_positions(values, count)
    return values.gather(-1, best), ids.gather(-1, best)
