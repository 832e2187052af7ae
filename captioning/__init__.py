"""Images and video clips into sentences. `load` a model, then `caption` a picture."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("captioning")
except PackageNotFoundError:  # a checkout that is not installed
    __version__ = "0.0.0"

_HOMES = {"Caption": "captioner", "Captioner": "captioner", "load": "captioner", "UserError": "errors"}

__all__ = ["Caption", "Captioner", "UserError", "__version__", "load"]


def __getattr__(name: str):
    """Imports torch and friends only once somebody uses them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'captioning' has no attribute {name!r}")
    return getattr(import_module(f"captioning.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
