"""`captioning import`: makes a model here of a published checkpoint."""

from __future__ import annotations

from pathlib import Path

from captioning.models.bundle import require_place, save_bundle
from captioning.models.published.importing import import_checkpoint
from captioning.tasks.captioning.published import as_bundle, card


def run(source: str, output: Path, *, words: Path | None, heads: int, regions: int, half: bool) -> int:
    """`captioning import`. -> exit status."""
    require_place(output)
    model = import_checkpoint(Path(source), words=words, heads=heads, regions=regions)
    print(save_bundle(output, as_bundle(model), card=card(model, output.name), half=half))
    return 0
