"""Softmax over real places only, and rows picked inside each image."""

from __future__ import annotations

import torch
from torch import Tensor


def select_rows(tensor: Tensor, index: Tensor) -> Tensor:
    """tensor (B, R, ...), index (B, S) of rows inside each image -> (B, S, ...)."""
    images = torch.arange(len(index), device=index.device)[:, None]
    return tensor[images, index]


def mean_token(tokens: Tensor, mask: Tensor) -> Tensor:
    """tokens (B, N, D), mask (B, N) -> the mean of the real ones (B, D); zero where there is none."""
    real = mask[..., None]
    return (tokens * real).sum(1) / real.sum(1).clamp(min=1)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """scores (..., N), mask broadcastable and True where real -> weights that sum to one over real places."""
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1)
