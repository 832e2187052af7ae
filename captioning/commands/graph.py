"""`captioning graph`: the things in a photo and what they are to each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from captioning.commands.caption_files import printable
from captioning.commands.detect import corners
from captioning.commands.drawings import Drawings
from captioning.commands.own_packages import ALLOW, own_packages
from captioning.errors import UserError
from captioning.files.terminal import complain
from captioning.media.finding import find_images

if TYPE_CHECKING:
    from captioning.tasks.scene_graphs.graph import SceneGraph

FORMATS = ("text", "json", "dot")


def graph(
    paths: Annotated[list[Path], typer.Argument(help="Photos, or folders of them.", show_default=False)],
    model: Annotated[
        Optional[str], typer.Option(help="A model's folder or name, such as runs/scene_graphs/model.")
    ] = None,
    format: Annotated[str, typer.Option(help="text, json or dot.")] = "text",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    least: Annotated[float, typer.Option(min=0, max=1, help="Least score of a thing and of a relation.")] = 0.3,
    most: Annotated[int, typer.Option(min=0, max=100, help="Relations at most.")] = 20,
    output: Annotated[
        Optional[Path], typer.Option(help="Draw the graph: a picture's name, or a folder for several photos.")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders' folders too.")] = False,
    device: Annotated[Optional[str], typer.Option(help="cpu, cuda, ...", show_default="a GPU if any")] = None,
    allow: ALLOW = None,
) -> int:
    """Write photos as graphs: captioning graph photo.jpg --model runs/scene_graphs/model --output graph.png

    Prints the things with their boxes in pixels, then a line for each relation; or with --format a JSON object a line
    or a DOT graph a photo, for Graphviz.

    Exit status: 0 done, 1 some photos could not be read (each named, the others done), 2 bad usage.
    """
    chosen = "json" if as_json else format
    if chosen not in FORMATS:
        raise UserError(f"--format {format}: it is {', '.join(FORMATS)}")
    if model is None:
        raise UserError("no model of graphs is shipped. Name one: --model runs/scene_graphs/model")
    from captioning.media.images import image_size
    from captioning.reports.graph_picture import graph_picture
    from captioning.tasks.load import load
    from captioning.tasks.scene_graphs.grapher import Grapher

    files = list(find_images(paths, recursive=recursive))
    drawing = Drawings(output, files) if output else None
    grapher = load(model, device=device, allow=own_packages(allow))
    if not isinstance(grapher, Grapher):
        raise UserError(f"{model} writes no graphs. Name a model that does: --model runs/NAME/model")
    failures = 0
    for file in files:
        try:
            size = image_size(file)
            found = grapher.graph(file, least=least, most=most)
            for line in lines(file, found, size, chosen, alone=len(files) == 1):
                print(line, flush=True)
            if drawing:
                edges = [(e.subject, e.predicate, e.object, e.score) for e in found.relations]
                boxes = found.objects
                drawing.write(file, lambda image, boxes=boxes, edges=edges: graph_picture(image, boxes, edges))
        except UserError as error:
            failures += 1
            complain(error)
    return 1 if failures else 0


def lines(file: Path, found: SceneGraph, size: tuple[int, int], chosen: str, *, alone: bool) -> list[str]:
    """One JSON object, a DOT graph, or a line a thing and a relation behind the photo's name unless it is alone."""
    name = str(file)
    if chosen == "json":
        content: dict[str, Any] = {"file": name, **found.to_dict(size)}
        return [json.dumps(content, ensure_ascii=not name.isprintable())]
    if chosen == "dot":
        return [found.to_dot().rstrip("\n")]
    things = zip(found.names(), found.objects, strict=True)
    said = [f"{printable(called)}  {box.score:.2f}  {corners(box, size)}" for called, box in things]
    edges = zip(found.triples(), found.relations, strict=True)
    said += [f"{printable(' '.join(triple))}  {edge.score:.2f}" for triple, edge in edges]
    return [one if alone else f"{printable(name)}\t{one}" for one in said or ["nothing"]]
