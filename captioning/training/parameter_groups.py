"""Which weights learn, and how."""

from __future__ import annotations

from typing import Any

from torch import nn

NOT_DECAYED = (nn.Embedding, nn.LayerNorm, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)


def parameter_groups(module: nn.Module, **options: Any) -> list[dict[str, Any]]:
    """An optimiser's groups for what of `module` learns: one with weight decay, and one without for biases, norms and
    embeddings, which have no scale that a decay could lower without harm. `options` go to both."""
    spared = {
        id(p) for part in module.modules() if isinstance(part, NOT_DECAYED) for p in part.parameters(recurse=False)
    }
    learning = [p for p in module.parameters() if p.requires_grad]
    decayed = [p for p in learning if p.ndim > 1 and id(p) not in spared]
    free = [p for p in learning if p.ndim <= 1 or id(p) in spared]
    groups = [{"params": decayed, **options}, {"params": free, "weight_decay": 0.0, **options}]
    return [group for group in groups if group["params"]]
