"""A finished model by name or folder, whatever its task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from captioning.errors import UserError
from captioning.models.bundle import Bundle, load_bundle
from captioning.models.low_rank import base_of, with_changes
from captioning.models.published.layout import is_hub_folder, looks_like_a_name
from captioning.models.shipped import default_model, find_model


def load(
    model: str | Path | None = None,
    *,
    device: str | torch.device | None = None,
    allow: Sequence[str] = (),
    precision: str = "32",
) -> Any:
    """What a model can do, as its task's predictor: a `Captioner` for a model that writes captions.

    `model` is a bundle's folder, a run's folder, the name of either in `runs/`, or a shipped model's name, or of a
    captioner or a CLIP of the model hub (OWNER/MODEL, or a folder in its layout); None takes the model that is shipped.
    Runs none of the bundle's code; `allow` names your own packages whose encoders, decoders or tasks it may use.
    `precision` is "32", "bf16", or "auto" (`captioning.runtime.precision`). Raises UserError where there is no such
    model, or it is damaged.
    """
    model = default_model() if model is None else model
    bundle = find_bundle(model, allow)
    predictor = bundle.task.predictor(bundle, device)
    predictor.open_model = partial(load, device=device, allow=tuple(allow))
    if precision == "32":
        return predictor
    return predictor.compute_in(precision, equal=precision == "auto" and not is_of_hub(model) and equal_in_bf16(model))


def load_captioner(model: str | Path | None = None, **options: Any) -> Any:
    """The same of a model that writes captions, with the `options` of `load`. Raises UserError for any other."""
    captioner = load(model, **options)
    if not hasattr(captioner, "caption"):
        raise UserError(f"{model} writes no captions: choose a model that does")
    return captioner


def equal_in_bf16(model: str | Path) -> bool:
    """Whether the scores of a shipped model were measured to be the same in bfloat16, within their interval."""
    measured = json.loads(files("captioning.models").joinpath("equal_in_bf16.json").read_text(encoding="utf-8"))
    with open(find_model(model) / "weights.safetensors", "rb") as weights:
        return hashlib.sha256(weights.read()).hexdigest() in measured


def find_bundle(model: str | Path, allow: Sequence[str] = ()) -> Bundle:
    """The finished model that a name or folder means, one in the layout of the model hub among them."""
    if is_of_hub(model):
        from captioning.models.published.hub import can_be_imported, fetch, import_hub, kind_of
        from captioning.tasks.captioning.generating import generating_bundle
        from captioning.tasks.captioning.published import as_bundle

        folder = Path(model) if is_hub_folder(Path(model)) else fetch(str(model))
        if kind_of(folder) == "clip":
            from captioning.tasks.embedding.published import clip_bundle

            return clip_bundle(folder, str(model))
        if can_be_imported(folder):
            return as_bundle(import_hub(folder, str(model)))
        return generating_bundle(folder, str(model))
    folder = find_model(model)
    if (base := base_of(folder)) is None:
        return load_bundle(folder, allow=allow)
    if has_changes(base):
        raise UserError(
            f"{folder} changes {base}, which changes another itself: make that whole with captioning import"
        )
    try:
        return with_changes(folder, find_bundle(base, allow), tuple(allow))
    except UserError as error:
        raise UserError(f"{folder} holds changes of {base}: {error}") from None


def has_changes(model: str | Path) -> bool:
    """Whether a name or folder means changes of another model, and none that is whole."""
    try:
        return base_of(find_model(model)) is not None
    except UserError:
        return False


def is_of_hub(model: str | Path) -> bool:
    """Whether a model of the model hub is meant, by its name or by a folder in its layout, and none that is here."""
    if is_hub_folder(Path(model)) or not looks_like_a_name(str(model)):
        return is_hub_folder(Path(model))
    try:
        find_model(model)
    except UserError:
        return True
    return False
