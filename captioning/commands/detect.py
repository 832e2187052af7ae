"""`captioning detect`: what is in a photo, and where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from captioning.commands.caption_files import printable
from captioning.commands.drawings import Drawings
from captioning.commands.own_packages import ALLOW, own_packages
from captioning.errors import UserError
from captioning.files.terminal import complain
from captioning.media.finding import find_images

if TYPE_CHECKING:
    from captioning.boxes import Box


def detect(
    paths: Annotated[list[Path], typer.Argument(help="Photos, or folders of them.", show_default=False)],
    model: Annotated[
        Optional[str],
        typer.Option(help="A model that detects, or looks through a detector.", show_default="the shipped"),
    ] = None,
    detector: Annotated[Optional[Path], typer.Option(help="A detector in YOLOX layout: an .onnx file.")] = None,
    labels: Annotated[Optional[str], typer.Option(help="Show these alone: dog,cat")] = None,
    salient: Annotated[bool, typer.Option("--salient", help="Show the one thing a photo is most about.")] = False,
    least: Annotated[float, typer.Option(min=0, max=1, help="Least score of a thing.")] = 0.3,
    output: Annotated[
        Optional[Path], typer.Option(help="Draw the boxes: a picture's name, or a folder for several photos.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, boxes in pixels.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders' folders too.")] = False,
    device: Annotated[Optional[str], typer.Option(help="cpu, cuda, ...", show_default="a GPU if any")] = None,
    allow: ALLOW = None,
) -> int:
    """Find the things in photos: captioning detect photo.jpg --detector yolox_nano.onnx --output found.png

    Prints a line for each thing, likeliest first: its name, its score, and its box as x1, y1, x2, y2 in pixels.

    Exit status: 0 done, 1 some photos could not be read (each named, the others done), 2 bad usage.
    """
    if model is not None and detector is not None:
        raise UserError("--model and --detector both name what looks: give one of them")
    from captioning.media.images import image_size
    from captioning.reports.region_picture import box_picture
    from captioning.tasks.recognition.object_detector import most_salient, open_detector

    files = list(find_images(paths, recursive=recursive))
    wanted = chosen(labels)
    drawing = Drawings(output, files) if output else None
    finder = open_detector(model, detector, device=device, allow=own_packages(allow))
    failures = 0
    for file in files:
        try:
            size = image_size(file)
            boxes = [box for box in finder.detect(file, least=least) if wanted is None or box.label in wanted]
            if salient:
                best = most_salient(boxes)
                boxes = [] if best is None else [best]
            for line in lines(file, boxes, size, as_json, alone=len(files) == 1):
                print(line, flush=True)
            if drawing:
                drawing.write(file, lambda image, boxes=boxes: box_picture(image, boxes))
        except UserError as error:
            failures += 1
            complain(error)
    return 1 if failures else 0


def chosen(labels: str | None) -> set[str] | None:
    """The names of --labels; None for all. Raises UserError where it names nothing."""
    if labels is None:
        return None
    names = {name.strip() for name in labels.split(",") if name.strip()}
    if not names:
        raise UserError("--labels names nothing: --labels dog,cat")
    return names


def lines(file: Path, boxes: list[Box], size: tuple[int, int], as_json: bool, *, alone: bool) -> list[str]:
    """One JSON object, or a line a thing behind the photo's name unless it is the only one."""
    name = str(file)
    if as_json:
        content: dict[str, Any] = {"file": name, "objects": [box.to_dict(size) for box in boxes]}
        return [json.dumps(content, ensure_ascii=not name.isprintable())]
    said = [f"{printable(box.label)}  {box.score:.2f}  {corners(box, size)}" for box in boxes] or ["nothing"]
    return said if alone else [f"{printable(name)}\t{one}" for one in said]


def corners(box: Box, size: tuple[int, int]) -> str:
    """x1,y1,x2,y2 in whole pixels."""
    return ",".join(f"{corner:.0f}" for corner in box.pixels(*size))
