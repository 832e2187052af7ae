"""Where tensors are put."""

from __future__ import annotations

import torch

from captioning.errors import UserError


def working_device(name: str | torch.device | None) -> torch.device:
    """The device of that name, for None the GPU where there is one. Raises UserError where nothing can be put on it."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError, ImportError) as error:  # by device, and by how torch was built
        raise UserError(f"device {name}: {str(error).splitlines()[0]}. Choose another, such as cpu") from None
    return device
