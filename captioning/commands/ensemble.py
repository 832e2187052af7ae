"""`captioning ensemble`: joins finished models into one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from captioning.commands.own_packages import own_packages
from captioning.errors import UserError
from captioning.models.bundle import load_bundle, read_card, require_place, save_bundle
from captioning.models.cards import lowered
from captioning.models.shipped import find_model
from captioning.tasks.captioning.ensemble import join
from captioning.tasks.captioning.retrieval_memory import without_memory
from captioning.tasks.captioning.task import Captioning


def run(models: Sequence[str], output: Path, *, half: bool, allow: Sequence[str] = ()) -> int:
    """`captioning ensemble`. -> exit status."""
    folders = [find_model(model) for model in models]
    require_place(output)
    bundles = [load_bundle(folder, allow=own_packages(allow)) for folder in folders]
    for bundle, folder in zip(bundles, folders, strict=True):
        if not isinstance(bundle.task, Captioning):
            raise UserError(f"{folder} writes no captions: an ensemble is of models that do")
    joined = join(bundles, [str(folder) for folder in folders])
    if any(without_memory(bundle).task.decoder is not bundle.task.decoder for bundle in bundles):
        print(
            "captioning: without what they remember; captioning remember gives a memory to any model", file=sys.stderr
        )
    cards = [f"\n## {folder}\n\n{lowered(text)}" for folder in folders if (text := read_card(folder))]
    listed = "\n".join(f"- {folder}" for folder in folders)
    text = f"# {output.name}\n\nAn ensemble, which averages log-probabilities, of\n\n{listed}\n{''.join(cards)}"
    print(save_bundle(output, joined, card=text, half=half))
    return 0
