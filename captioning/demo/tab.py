"""What the page can show: a tab for each thing that models do. Every file of `captioning/demo/tabs` holds one."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from captioning.demo import tabs as folder
from captioning.errors import UserError


@dataclass(frozen=True)
class Tab:
    """One tab. A model is on offer in it where its predictor has the method `verb`.

    `build` puts what belongs into the tab (`captioning.demo.layout.photo_tab` has the usual parts); it is given the
    models by the names that visitors see, and sample pictures. `first` asks a model about a picture, since the first
    answer of a fresh model is slow.
    """

    place: int  # the lower, the further left
    title: str
    verb: str  # also the name under which scripts ask the page
    build: Callable[[Mapping[str, Any], Sequence[Path]], None]
    first: Callable[[Any, Path], object]

    def of(self, models: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the models that the tab can show."""
        return {name: model for name, model in models.items() if hasattr(model, self.verb)}


def every_tab() -> list[Tab]:
    """All there are, from left to right."""
    modules = [import_module(f"{folder.__name__}.{module.name}") for module in pkgutil.iter_modules(folder.__path__)]
    return sorted((module.TAB for module in modules), key=lambda tab: (tab.place, tab.title))


def shown_by(models: Mapping[str, Any]) -> list[Tab]:
    """The tabs for what these models can do. Raises UserError naming a model that none of them shows."""
    tabs = every_tab()
    for name, model in models.items():
        if not any(tab.of({name: model}) for tab in tabs):
            verbs = ", ".join(tab.verb for tab in tabs)
            raise UserError(f"--model {name}: the page shows what models do that {verbs}; this one does nothing of it")
    return [tab for tab in tabs if tab.of(models)]
