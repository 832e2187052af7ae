"""An embedder by name or folder, for whoever needs one and no other kind of model."""

from __future__ import annotations

from collections.abc import Sequence

from captioning.tasks.embedding.embedder import SHIPPED, Embedder, as_embedder
from captioning.tasks.load import load


def load_embedder(
    name: str | None = None, device: str | None = None, allow: Sequence[str] = (), *, option: str = ""
) -> Embedder:
    """The embedder of that name or folder, by default the shipped one. Raises UserError for a model of another kind.

    `option` is what asked for it: "embedder=".
    """
    name = SHIPPED if name is None else name
    return as_embedder(load(name, device=device, allow=allow), f"{option}{name}")
