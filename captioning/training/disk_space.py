"""Room on disk for what a run will leave, asked for before it begins."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from captioning.files.disk_space import require_room

COPIES = 3  # of a checkpoint: the best, the last, and one that is being written


def checkpoint_bytes(*modules: nn.Module, averaged: bool = False) -> int:
    """Bytes of a checkpoint: every weight, and of those that learn two moments (Adam's) and perhaps an average."""
    total = 0
    for module in modules:
        for tensor in module.state_dict().values():
            total += tensor.numel() * tensor.element_size()
        for weight in module.parameters():
            if weight.requires_grad:
                total += (2 + averaged) * weight.numel() * weight.element_size()
    return total


def require_room_for_run(folder: str | Path, *modules: nn.Module, averaged: bool = False) -> None:
    """Raises UserError unless `folder` can be written and has room for the checkpoints and the bundle of a run."""
    needed = COPIES * checkpoint_bytes(*modules, averaged=averaged)
    require_room(folder, needed, "what this run keeps", "Make room, or choose another folder with output=DIR.")
