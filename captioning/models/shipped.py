"""Where finished models are: in a folder, in a run, or in the box. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from captioning.errors import UserError

MODEL_FILES = ("config.yaml", "weights.safetensors", "vocabulary.json")
DEFAULT = "everyday"


def shipped_folders() -> tuple[Path, ...]:
    """Where models come with the package: inside an installed wheel, and in a checkout."""
    package = Path(__file__).parent.parent
    return package / "models" / "box", package.parent / "data" / "models"


def shipped_models() -> dict[str, Path]:
    """Name -> folder of every model in the box."""
    found: dict[str, Path] = {}
    for place in shipped_folders():
        for folder in sorted(place.iterdir()) if place.is_dir() else ():
            if (folder / MODEL_FILES[0]).is_file():
                found.setdefault(folder.name, folder)
    return found


def default_model() -> str:
    """The name of the model that is used where none is named. Raises UserError where the box does not tell."""
    names = list(shipped_models())
    if DEFAULT in names:
        return DEFAULT
    if len(names) == 1:
        return names[0]
    there = f"; there are {', '.join(names)}" if names else ", and none is shipped with this installation"
    raise UserError(f"which model? --model takes a folder, the name of a run in runs/, or a shipped name{there}")


def find_model(model: str | Path) -> Path:
    """The bundle's folder that a name or a path means. Raises UserError saying where it looked.

    In this order: a bundle's folder, a run's folder, either of them in runs/, a model in the box.
    """
    candidates = [Path(model), Path(model) / "model", Path("runs", model), Path("runs", model, "model")]
    for folder in candidates:
        if any(os.path.isfile(folder / name) for name in MODEL_FILES):
            return folder
    shipped = shipped_models()
    if str(model) in shipped:
        return shipped[str(model)]
    if os.path.isdir(model):
        return Path(model)  # nothing there: loading it names what is missing
    names = f"; shipped are {', '.join(shipped)}" if shipped else ""
    raise UserError(
        f"there is no model {str(model)!r}: looked for {', '.join(str(path) for path in candidates)}{names}. "
        f"`captioning train` makes one in runs/NAME/model"
    )
