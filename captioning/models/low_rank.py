"""A bundle of low-rank changes (Hu et al. 2021, arXiv:2106.09685): small matrices, and the name of their model."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from captioning.encoders.base import architecture
from captioning.errors import UserError
from captioning.files.annotations import read_text
from captioning.models.bundle import Bundle, read_config, replaced_folder, require_numbers, write_config
from captioning.models.untrusted import TRUSTED, build_part

CHANGES, MATRICES = "low_rank.json", "low_rank.safetensors"


@dataclass(frozen=True)
class LowRank:
    """What is added to some weights of a decoder: scale * up @ down."""

    down: dict[str, Tensor]  # (R, I) by the name of the weight (O, I)
    up: dict[str, Tensor]  # (O, R)
    scale: float

    def add_to(self, decoder: nn.Module) -> None:
        """Adds it. Raises ValueError naming the first weight that it does not fit."""
        weights = dict(decoder.named_parameters())
        for name, down in self.down.items():
            up, weight = self.up.get(name), weights.get(name)
            if up is None or weight is None or down.dim() != 2 or up.dim() != 2:
                raise ValueError(f"{name} has no counterpart")
            if (len(up), down.shape[1]) != tuple(weight.shape) or len(down) != up.shape[1]:
                raise ValueError(f"{name} has other sizes")
            weight.data += (up @ down) * self.scale


def digest(bundle: Bundle) -> str:
    """A fingerprint of all weights of a model."""
    found = hashlib.sha256()
    for part in (bundle.encoder, bundle.task):
        for name, tensor in part.state_dict().items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def save_changes(folder: Path, bundle: Bundle, changes: LowRank, base: Bundle, name: str, *, card: str) -> None:
    """Writes what `bundle` has beyond `base`, whose name or folder is `name`, whole or not at all."""
    where = os.path.relpath(Path(name).resolve(), folder.resolve()) if Path(name).exists() else name
    about = {"base": where, "digest": digest(base), "scale": changes.scale}
    parts = {"down": changes.down, "up": changes.up}
    with replaced_folder(folder) as temporary:
        weights = {f"{kind}.{key}": part.contiguous() for kind, named in parts.items() for key, part in named.items()}
        save_file(weights, temporary / MATRICES)
        bundle.task.save(temporary)
        (temporary / CHANGES).write_text(json.dumps(about, indent=1), encoding="utf-8")
        write_config(temporary / "config.yaml", architecture(bundle.encoder_config), bundle.task.config())
        (temporary / "README.md").write_text(card, encoding="utf-8")
        shutil.copymode(temporary / "config.yaml", temporary / MATRICES)  # written for its owner only


def base_of(folder: Path) -> str | None:
    """The name or folder of the model that a folder's changes are for; None for a model that is whole.

    Raises UserError where what says so is damaged.
    """
    return None if not (folder / CHANGES).is_file() else str(read_about(folder)["base"])


def read_about(folder: Path) -> Mapping[str, object]:
    """What low_rank.json says, `base` as it can be opened from here. Raises UserError naming the file."""
    try:
        about = json.loads(read_text(folder / CHANGES))
        base, scale = about["base"], float(about["scale"])
        if not (isinstance(base, str) and base and isinstance(about["digest"], str) and math.isfinite(scale)):
            raise ValueError("base, digest or scale is missing")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{folder / CHANGES} is damaged: {' '.join(str(error).split())[:200]}") from None
    beside = Path(os.path.normpath(folder / base))
    return {**about, "base": str(beside) if beside.is_dir() else base}


def with_changes(folder: Path, base: Bundle, allow: tuple[str, ...] = ()) -> Bundle:
    """The base with the changes of a folder. Raises UserError where it is another, or they do not fit."""
    about, config = read_about(folder), read_config(folder / "config.yaml")
    if digest(base) != about["digest"]:
        raise UserError(f"{folder} was learned beside other weights than {about['base']} has: get the model it was")
    try:
        found = load_file(folder / MATRICES)
        require_numbers(found, folder / MATRICES)
        down, up = (
            {name.removeprefix(kind): part.float() for name, part in found.items() if name.startswith(kind)}
            for kind in ("down.", "up.")
        )
        LowRank(down, up, float(about["scale"])).add_to(base.task.decoder)  # type: ignore[arg-type]
    except FileNotFoundError:
        raise UserError(f"{folder} is not a whole model: {MATRICES} is missing") from None
    except (OSError, SafetensorError, ValueError, AttributeError) as error:
        raise UserError(f"{folder / MATRICES} does not fit {about['base']}: {' '.join(str(error).split())}") from None
    base.task.generate_with(config["task"]["generation"], partial(build_part, (*TRUSTED, *allow)))
    return base
