"""`captioning import`: makes a model here of a published checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def import_model(
    source: Annotated[str, typer.Argument(help="A folder, a file of weights, or OWNER/MODEL.", show_default=False)],
    output: Annotated[Path, typer.Option(help="The folder of the new model.", show_default=False)],
    words: Annotated[Optional[Path], typer.Option(help="Its words, where they do not lie beside it.")] = None,
    heads: Annotated[int, typer.Option(min=1, help="Heads of attention, of meshed-memory.")] = 8,
    regions: Annotated[int, typer.Option(min=0, help="Regions that a photo is filled up to, of meshed-memory.")] = 50,
    half: Annotated[bool, typer.Option("--half", help="Keep the weights as float16.")] = False,
) -> int:
    """Make a model of a published checkpoint.

    Of the model hub: BLIP, GIT, and ViT, DeiT or Swin with GPT-2 or BERT. Of the authors of papers:
    ImageCaptioning.pytorch, AoANet, meshed-memory and sgrvinod's tutorial. Of a model of low-rank changes: a whole one.
    """
    from captioning.models.bundle import read_card, require_place, save_bundle
    from captioning.models.published.importing import import_checkpoint
    from captioning.tasks.captioning.published import as_bundle, card
    from captioning.tasks.load import find_bundle, has_changes

    require_place(output)
    if has_changes(source):  # low-rank ones, of a model that it names
        bundle = find_bundle(source)
        print(save_bundle(output, bundle, card=read_card(Path(source)), half=half))
        return 0
    model = import_checkpoint(Path(source), words=words, heads=heads, regions=regions)
    print(save_bundle(output, as_bundle(model), card=card(model, output.name), half=half))
    return 0
