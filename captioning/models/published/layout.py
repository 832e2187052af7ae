"""What is of the model hub. Imports no torch."""

from __future__ import annotations

from pathlib import Path


def is_hub_folder(folder: Path) -> bool:
    """Whether a folder is in the layout of the model hub."""
    return (folder / "config.json").is_file() and not (folder / "config.yaml").is_file()


def looks_like_a_name(name: str) -> bool:
    """Whether a name may be one of the hub: OWNER/MODEL, and nothing that is here."""
    parts = name.split("/")
    return len(parts) == 2 and all(part and part[0] not in "./~" for part in parts) and not Path(name).exists()
