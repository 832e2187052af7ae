"""Images and video clips into sentences. `load` a model, then `caption` a picture."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Caption": "tasks.captioning.caption",
    "Captioner": "tasks.captioning.captioner",
    "GenerationOptions": "tasks.captioning.options",
    "UserError": "errors",
    "load": "tasks.load",
    "shipped_models": "models.shipped",
    "train": "commands.from_python",
}

__all__ = ["Caption", "Captioner", "GenerationOptions", "UserError", "__version__", "load", "shipped_models", "train"]


def __getattr__(name: str) -> Any:
    """Imports torch and friends only once somebody uses them."""
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'captioning' has no attribute {name!r}")
    return getattr(import_module(f"captioning.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("captioning")
    except PackageNotFoundError:  # a checkout that is not installed
        return "0.0.0"
