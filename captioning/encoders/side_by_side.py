"""Several backbones that look at the same picture: a token is what each of them sees in one cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from captioning.encoders.base import Composite
from captioning.encoders.grid import GridEncoder
from captioning.errors import UserError
from captioning.memory import VisualMemory

if TYPE_CHECKING:
    from PIL.Image import Image


class SideBySide(Composite):
    """Grid encoders of one `size` and one grid; tokens and pooled are those of each, one after the other.

    width is the sum of theirs. Without `finetune` each part learns only if it says so itself. Raises UserError where
    the parts do not look at equally large pictures or do not give equally many cells.
    """

    def __init__(self, *, encoders: Sequence[GridEncoder], finetune: bool = False):
        parts = list(encoders)
        if not parts or not all(isinstance(part, GridEncoder) for part in parts):
            raise UserError("encoder.encoders: a list of grid encoders, such as conf/encoder/grid_pair.yaml has it")
        super().__init__(parts, finetune=finetune)
        if len({part.size for part in parts}) > 1:
            sizes = ", ".join(str(part.size) for part in parts)
            raise UserError(f"encoder.encoders look at pictures of {sizes} pixels: give each the same size")
        self.encoders = nn.ModuleList(parts)
        self.size = parts[0].size
        self.width = sum(part.width for part in parts)

    def read(self, image: Image) -> Tensor:
        """One RGB picture -> uint8 (3, S, S), which every part reads alike."""
        return self.encoders[0].read(image)

    def forward(self, pictures: Tensor) -> VisualMemory:
        """pictures (B, 3, S, S), 0 to 255 -> N cells, the same of every part."""
        seen = [part(pictures) for part in self.encoders]
        cells = {memory.tokens.shape[1] for memory in seen}
        if len(cells) > 1:
            raise UserError(f"encoder.encoders give {sorted(cells)} cells: set encoder.encoders.N.grid to one number")
        tokens = torch.cat([memory.tokens for memory in seen], -1)
        return VisualMemory(tokens, seen[0].mask, torch.cat([memory.pooled for memory in seen], -1))
