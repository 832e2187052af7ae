"""What every process of a distributed run has."""

from __future__ import annotations

from typing import Any

import torch


def of_all_processes(mine: Any) -> list[Any]:
    """What every process has, that of the first one first."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return [mine]
    everyone: list = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, mine)
    return everyone
