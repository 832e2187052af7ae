"""Images leave the batch when they are finished; their captions stay."""

from __future__ import annotations

import torch
from torch import Tensor

from captioning.text.vocabulary import PAD

STEPS_BETWEEN = 4  # on a device that would have to be waited for
WORTH_LEAVING = 0.25  # of the images at work; a smaller batch saves less than it costs to move


def due(step: int, device: torch.device) -> bool:
    """Whether to look at the results after this step: every time where that is free, now and then on a device."""
    return device.type == "cpu" or step % STEPS_BETWEEN == STEPS_BETWEEN - 1


class FinishedCaptions:
    """The captions of a whole batch, and which of its images are still at work."""

    def __init__(self, images: int, captions: int, max_words: int, device: torch.device):
        self.images = torch.arange(images, device=device)  # (B',) places in the batch of those at work
        self.words = torch.full((images, captions, max_words), PAD, device=device)
        self.scores = torch.full((images, captions), -torch.inf, device=device)

    def record(self, words: Tensor, scores: Tensor) -> None:
        """words (B', K, max_words) and scores (B', K) of the images at work, as they are now."""
        self.words[self.images] = words
        self.scores[self.images] = scores

    def leave(self, done: Tensor, words: Tensor, scores: Tensor) -> Tensor | None:
        """Lets finished images go where enough are. done (B',) -> indices of those that stay, None for no change."""
        finished = int(done.sum())
        if finished < max(1, WORTH_LEAVING * len(done)):
            return None
        self.record(words, scores)
        stay = (~done).nonzero().squeeze(-1)
        self.images = self.images[stay]
        return stay
