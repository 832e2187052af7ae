"""`captioning search`: the photos of a folder that a text means, or that are like a photo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from captioning.commands.caption import complain
from captioning.commands.caption_files import printable
from captioning.errors import UserError
from captioning.tasks.load import load

DEFAULT = "flickr8k_embedding"


def run(
    folder: Path,
    text: str | None,
    *,
    like: Path | None = None,
    top: int = 10,
    as_json: bool = False,
    page: Path | None = None,
    index: Path | None = None,
    recursive: bool = True,
    model: str | None = None,
    device: str | None = None,
) -> int:
    """A line a photo found, the best first. -> exit status: 1 where a photo of the folder could not be read."""
    if text is None and like is None:
        raise UserError("what is looked for? A text after the folder, or a photo with --like")
    embedder = load_embedder(model, device)
    found_in, skipped = embedder.index(folder, place=index, recursive=recursive, progress=True)
    for _, error in skipped:
        complain(error)
    found = embedder.search_index(found_in, text, like=like, top=top)
    for each in found:
        print(line(folder / each.name, each.score, as_json), flush=True)
    if page is not None:
        write_page(page, folder, found, text if text is not None else f"photos like {like}")
    return 1 if skipped else 0


def load_embedder(model: str | None, device: str | None) -> Any:
    """The embedding model of that name, by default the shipped one. Raises UserError for a model of another kind."""
    embedder = load(DEFAULT if model is None else model, device=device)
    if not hasattr(embedder, "embed_text"):
        raise UserError(f"{model} does not compare photos with words: train one with experiment=flickr8k_embedding")
    return embedder


def line(file: Path, score: float, as_json: bool) -> str:
    """One line: JSON with file and score, or the score and the file."""
    name = str(file)
    if as_json:
        return json.dumps({"file": name, "score": round(score, 4)}, ensure_ascii=not name.isprintable())
    return f"{score:.3f}\t{printable(name)}"


def write_page(path: Path, folder: Path, found: list, title: str) -> None:
    """A page of what was found."""
    from captioning.media.pictures import as_picture
    from captioning.reports.photo_page import SIDE, PhotoPage

    page = PhotoPage(title)
    for each in found:
        page.add_found(each.name, as_picture(folder / each.name, SIDE), each.score)
    page.write(path)
