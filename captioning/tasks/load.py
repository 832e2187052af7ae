"""A finished model by name or folder, whatever its task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from captioning.models.bundle import load_bundle
from captioning.models.shipped import default_model, find_model


def load(
    model: str | Path | None = None, *, device: str | torch.device | None = None, allow: Sequence[str] = ()
) -> Any:
    """What a model can do, as its task's predictor: a `Captioner` for a model that writes captions.

    `model` is a bundle's folder, a run's folder, the name of either in `runs/`, or a shipped model's name; None takes
    the model that is shipped. Runs none of the bundle's code; `allow` names your own packages whose encoders, decoders
    or tasks it may use. Raises UserError where there is no such model, or it is damaged.
    """
    bundle = load_bundle(find_model(default_model() if model is None else model), allow=allow)
    return bundle.task.predictor(bundle, device)
