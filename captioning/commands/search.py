"""`captioning search`: the photos of a folder that a text means, or that are like a photo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

from captioning.commands.caption_files import printable
from captioning.commands.own_packages import ALLOW, own_packages
from captioning.errors import UserError
from captioning.files.terminal import complain


def search(
    folder: Annotated[Path, typer.Argument(help="The folder of the photos.", show_default=False)],
    text: Annotated[Optional[str], typer.Argument(help='What is looked for: "a dog on a beach".')] = None,
    like: Annotated[
        Optional[Path], typer.Option(help="Photos like this one, or this sound; with a text, both count.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Photos shown.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line: file, score.")] = False,
    page: Annotated[Optional[Path], typer.Option(help="Write an HTML page with what was found.")] = None,
    index: Annotated[Optional[Path], typer.Option(help="Keep the index here.", show_default="in the folder")] = None,
    flat: Annotated[bool, typer.Option("--flat", help="Do not look into folders' folders.")] = False,
    model: Annotated[Optional[str], typer.Option(help="A model's folder or name.", show_default="the shipped")] = None,
    device: Annotated[Optional[str], typer.Option(help="cpu, cuda, cuda:1, ...", show_default="a GPU if any")] = None,
    allow: ALLOW = None,
) -> int:
    """Find photos by a sentence, a photo, or, with a model that hears, a sound: then sounds are found as well.

    The first time every photo is read, later only what is new.

    Exit status: 0 done, 1 some photos could not be read (each named, the others searched), 2 bad usage.
    """
    if not (text and text.strip()) and like is None:
        raise UserError("what is looked for? A text after the folder, or a photo with --like")
    from captioning.tasks.embedding.load import load_embedder

    embedder = load_embedder(model, device, own_packages(allow), option="--model ")
    found_in, skipped = embedder.index(folder, place=index, recursive=not flat, progress=True)
    for _, error in skipped:
        complain(error)
    found = embedder.search_index(found_in, text, like=like, top=top)
    for each in found:
        print(line(folder / each.name, each.score, as_json), flush=True)
    if page is not None:
        write_page(page, folder, found, text if text is not None else f"photos like {like}")
    return 1 if skipped else 0


def line(file: Path, score: float, as_json: bool) -> str:
    """One line: JSON with file and score, or the score and the file."""
    name = str(file)
    if as_json:
        return json.dumps({"file": name, "score": round(score, 4)}, ensure_ascii=not name.isprintable())
    return f"{score:.3f}\t{printable(name)}"


def write_page(path: Path, folder: Path, found: list, title: str) -> None:
    """A page of what was found, sounds as spectrograms."""
    from captioning.media.kinds import is_sound
    from captioning.media.pictures import as_picture
    from captioning.media.sound import Sound
    from captioning.media.spectrogram import spectrogram_picture
    from captioning.reports.photo_page import SIDE, PhotoPage

    page = PhotoPage(title)
    for each in found:
        file = folder / each.name
        picture = spectrogram_picture(Sound.open(file, confined=True)) if is_sound(file) else as_picture(file, SIDE)
        page.add_found(each.name, picture, each.score)
    page.write(path)
