"""`captioning locate`: where in a photo is what a phrase means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from captioning.commands.caption_files import printable
from captioning.commands.drawings import Drawings
from captioning.commands.own_packages import ALLOW, own_packages
from captioning.errors import UserError
from captioning.files.annotations import read_lines
from captioning.files.terminal import complain
from captioning.media.finding import find_images, names_a_photo

if TYPE_CHECKING:
    from captioning.tasks.grounding.grounded_captions import GroundedCaption
    from captioning.tasks.grounding.location import Location

DEFAULT = "flickr8k_grounding"


def locate(
    words: Annotated[
        Optional[list[str]],
        typer.Argument(metavar="PATH... PHRASE...", help="Photos or folders, then phrases.", show_default=False),
    ] = None,
    model: Annotated[str, typer.Option(help="A model's folder or name.")] = DEFAULT,
    phrases: Annotated[Optional[Path], typer.Option(help="A file with a phrase a line.")] = None,
    caption: Annotated[
        bool, typer.Option("--caption", help="Write a sentence for each photo, and locate its noun phrases.")
    ] = False,
    captioner: Annotated[
        Optional[str], typer.Option(help="The model that writes it.", show_default="the shipped")
    ] = None,
    output: Annotated[
        Optional[Path], typer.Option(help="Draw the boxes: a picture's name, or a folder for several photos.")
    ] = None,
    least: Annotated[float, typer.Option(min=0, max=1, help="Below this probability it is not there.")] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, boxes in pixels.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders' folders too.")] = False,
    device: Annotated[Optional[str], typer.Option(help="cpu, cuda, ...", show_default="a GPU if any")] = None,
    allow: ALLOW = None,
) -> int:
    """Find what phrases mean in photos: captioning locate photo.jpg "the man in red" "a dog" --output found.png

    Prints a line for each phrase: its box as x1, y1, x2, y2 in pixels and the probability that it is right, several
    where several things are meant, or "not there". With --caption phrases need not be given. Where --model writes
    captions, boxes are around what it looks at when it says the phrase, and their number is no probability.

    Exit status: 0 done, 1 some files could not be read (each named, the others done), 2 bad usage.
    """
    photos = [word for word in words or [] if names_a_photo(word)]
    asked = [word for word in words or [] if not names_a_photo(word)]
    if phrases is not None:
        asked += [text.strip() for _, text in read_lines(phrases, "Give a file with one phrase a line.")]
    if not photos:
        raise UserError("no photo is named. Give photos first: captioning locate photo.jpg 'the man in red'")
    from captioning.media.images import image_size
    from captioning.reports.region_picture import box_picture
    from captioning.tasks.captioning.captioner import Captioner
    from captioning.tasks.grounding.attention import by_attention
    from captioning.tasks.grounding.locator import Locator, check_phrases
    from captioning.tasks.load import load

    if asked or not caption:
        check_phrases(asked)
    files = list(find_images(photos, recursive=recursive))
    drawing = Drawings(output, files) if output else None
    locator = load(model, device=device, allow=own_packages(allow))
    if isinstance(locator, Captioner):
        locator = by_attention(locator)
    if not isinstance(locator, Locator):
        raise UserError(f"{model} does not locate phrases. Name a model that does: --model runs/NAME/model")
    writer = load(captioner, device=device, allow=own_packages(allow)) if caption else None
    if writer is not None and not hasattr(writer, "caption"):
        raise UserError(f"--captioner {captioner} does not write captions. Name a model that does")
    alone = len(files) == 1 and len(asked) == 1 and not caption
    failures = 0
    for file in files:
        try:
            size = image_size(file)
            found = locator.locate(file, asked, least=least) if asked else []
            for one in found:
                print(line(file, one, size, as_json, alone=alone), flush=True)
            if writer is not None:
                grounded = locator.ground(file, writer.caption(file).text, least=least)
                for text in caption_lines(file, grounded, size, as_json):
                    print(text, flush=True)
                found += grounded.locations
            if drawing:
                boxes = [box for one in found for box in one.boxes]
                drawing.write(file, lambda image, boxes=boxes: box_picture(image, boxes))
        except UserError as error:
            failures += 1
            complain(error)
    return 1 if failures else 0


def line(file: Path, found: Location, size: tuple[int, int], as_json: bool, *, alone: bool) -> str:
    """One line: JSON, or the boxes in whole pixels with the probability, behind photo and phrase unless alone."""
    name = str(file)
    if as_json:
        content: dict[str, Any] = {"file": name, **found.to_dict(size)}
        return json.dumps(content, ensure_ascii=not name.isprintable())
    boxes = "  ".join(",".join(f"{c:.0f}" for c in box.pixels(*size)) for box in found.boxes)
    said = f"{boxes}  {found.box.score:.2f}" if found.boxes else f"not there  {1 - found.there:.2f}"
    return said if alone else f"{printable(name)}\t{printable(found.phrase)}\t{said}"


def caption_lines(file: Path, grounded: GroundedCaption, size: tuple[int, int], as_json: bool) -> list[str]:
    """A caption and behind it the lines of its phrases, or one JSON object."""
    if as_json:
        content = {"file": str(file), **grounded.to_dict(size)}
        return [json.dumps(content, ensure_ascii=not str(file).isprintable())]
    phrases = [line(file, one, size, False, alone=False) for one in grounded.locations]
    return [f"{printable(str(file))}\t{printable(grounded.text)}", *phrases]
