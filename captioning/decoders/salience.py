"""How much each thing that is believed to be in an image counts there: by how sure that is, and by its size."""

from __future__ import annotations

import torch
from torch import Tensor

from captioning.memory import VisualMemory
from captioning.text.concepts import concepts

SMALLEST_REGION = 0.35  # how much a region counts beside the square root of its area
NOUN = 0.7  # how much a noun of the whole picture counts, in parts of a region that fills it


def salience(memory: VisualMemory) -> Tensor:
    """Of every token that is a concept, 0 to 1.35; of others it means nothing. -> (B, N).

    A region counts by its score times the root of its area's share of the image, a noun by its score alone.
    """
    region, scores = memory.classes < len(concepts()), memory.scores.float()
    sides = (memory.boxes[..., 2:] - memory.boxes[..., :2]).clamp(min=0).float()
    return torch.where(region, scores * (SMALLEST_REGION + sides.prod(-1).sqrt()), NOUN * scores)
