"""A module that learns without dropping out."""

from __future__ import annotations

from torch import nn


def without_dropout(module: nn.Module) -> None:
    """Puts a module in eval mode, in which it still can be trained."""
    module.eval()
    for part in module.modules():
        if isinstance(part, nn.RNNBase):
            part.train()  # cuDNN keeps what the backward pass needs in training mode only
