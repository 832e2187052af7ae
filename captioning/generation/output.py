"""What every way of generating returns."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from captioning.decoders.base import Context, Decoder
from captioning.text.vocabulary import BOS, PAD

WORDS_AT_ONCE = 1024  # 40 MB of logits over ten thousand words


class Generated(NamedTuple):
    """K captions for each of B images."""

    words: Tensor  # (B, K, T) ids after BOS; EOS closes a caption, PAD follows it; T is the longest of the batch
    scores: Tensor  # (B, K) log-probability, or its length-normalised form; -inf where there is no such caption
    log_probabilities: Tensor | None = None  # (B, K, T) of each word, 0 on padding
    attention: Tensor | None = None  # (B, K, T, N), 0 on padding; None where the decoder attends to nothing


def generated(decoder: Decoder, context: Context, words: Tensor, scores: Tensor, details: bool) -> Generated:
    """words (B, K, max_words), scores (B, K) -> Generated, cut to the longest caption; `details` adds what they ask."""
    longest = int((words != PAD).sum(-1).max()) if words.numel() else 0
    words = words[..., :longest]
    if not details or not longest:
        return Generated(words, scores)
    return Generated(words, scores, *explain(decoder, context, words))


@torch.no_grad()
def explain(decoder: Decoder, context: Context, words: Tensor) -> tuple[Tensor, Tensor | None]:
    """words (B, K, T) -> the log-probability of each (B, K, T), and where the decoder looked for it (B, K, T, N).

    One teacher-forced pass over the finished captions: a search that kept both for every hypothesis would pay for
    thousands of words that nobody reads.
    """
    before = torch.cat([torch.full_like(words[..., :1], BOS), words[..., :-1]], -1)
    real = words != PAD
    features, attention = decoder.forward_features(context, before)  # (B, K, T, W), (B, K, T, N)
    log_probabilities = torch.zeros(words.shape, device=words.device)
    log_probabilities[real] = torch.cat(
        [
            chosen_log_probabilities(decoder.forward_head(known), said)
            for known, said in zip(features[real].split(WORDS_AT_ONCE), words[real].split(WORDS_AT_ONCE), strict=True)
        ]
    )
    return log_probabilities, None if attention is None else attention * real[..., None]


def chosen_log_probabilities(logits: Tensor, words: Tensor) -> Tensor:
    """logits (M, V), words (M,) -> (M,)."""
    logits = logits.float()
    return logits.gather(-1, words[:, None]).squeeze(-1) - logits.logsumexp(-1)
