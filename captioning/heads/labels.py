"""Which of a list of labels an image shows: an attention pool of its tokens, and one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captioning.heads.projection import AttentionPool
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.memory import VisualMemory


class LabelHead(nn.Module):
    """The pooled vector of a memory, and what an attention pool finds in its tokens -> logits of C labels.

    The pool lets one thing speak in a picture of many, where a mean would be about all of them.
    """

    def __init__(self, *, visual_width: int, labels: int, width: int = 256, heads: int = 8, dropout: float = 0.2):
        super().__init__()
        self.norm, self.token_norm = nn.LayerNorm(visual_width), nn.LayerNorm(visual_width)
        self.pool = AttentionPool(visual_width, width, heads=heads, dropout=dropout)
        self.output = nn.Sequential(Dropout(dropout), Linear(visual_width + width, labels))

    def forward(self, memory: VisualMemory) -> Tensor:
        """-> (B, C)."""
        thing = self.pool(self.token_norm(memory.tokens), memory.mask).relu()  # (B, W)
        return self.output(torch.cat([self.norm(memory.pooled), thing], -1))
