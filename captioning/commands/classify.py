"""`captioning classify`: which of some labels a photo shows, by the labels' names alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from captioning.commands.caption_files import printable
from captioning.commands.own_packages import ALLOW, own_packages
from captioning.errors import UserError
from captioning.files.terminal import complain


def classify(
    paths: Annotated[list[Path], typer.Argument(help="Photos, or folders of them.", show_default=False)],
    labels: Annotated[Optional[str], typer.Option(help="Names to choose from: cat,dog,a bird")] = None,
    labels_file: Annotated[Optional[Path], typer.Option(help="The same from a file, one a line.")] = None,
    template: Annotated[
        Optional[list[str]], typer.Option(help="A sentence with {} for the name; several are averaged.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Labels shown.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with all labels.")] = False,
    page: Annotated[Optional[Path], typer.Option(help="Write an HTML page with bars.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders' folders too.")] = False,
    model: Annotated[Optional[str], typer.Option(help="A model's folder or name.", show_default="the shipped")] = None,
    device: Annotated[Optional[str], typer.Option(help="cpu, cuda, cuda:1, ...", show_default="a GPU if any")] = None,
    allow: ALLOW = None,
) -> int:
    """Say which of some labels photos show, by the labels' names alone, or by a model that was trained to.

    A model of task=classification has a list of its own: without --labels all of it, with --labels those of it.

    Exit status: 0 done, 1 some photos could not be read (each named, the others done), 2 bad usage.
    """
    from captioning.commands.caption import expand

    files, failures = expand(paths, recursive)
    stream = asked(model, device, allow, labels, labels_file, template)
    drawn = []
    for file, found in stream(files):
        if isinstance(found, UserError):
            failures += 1
            complain(found)
            continue
        print(line(file, found, top, as_json), flush=True)
        drawn.append((file, found))
    if page is not None:
        write_page(page, drawn)
    return 1 if failures else 0


def asked(
    model: str | None,
    device: str | None,
    allow: list[str] | None,
    labels: str | None,
    labels_file: Path | None,
    template: list[str] | None,
) -> Callable[[Iterable[Path]], Iterator[tuple[Path, dict[str, float] | UserError]]]:
    """What makes label -> probability of photo after photo. Raises UserError for options that do not suit the model."""
    from captioning.tasks.embedding.embedder import SHIPPED, as_embedder
    from captioning.tasks.load import load
    from captioning.tasks.recognition.classifier import Classifier

    given = labels is not None or labels_file is not None
    names = chosen_labels(labels, labels_file) if given or model is None else None
    loaded = load(SHIPPED if model is None else model, device=device, allow=own_packages(allow))
    if isinstance(loaded, Classifier):
        if template:
            raise UserError("--template is for models that know labels by their names; this one has a list of its own")
        return partial(by_list, loaded, names)
    return partial(by_names, as_embedder(loaded, f"--model {model}"), names or chosen_labels(None, None), template)


def by_list(classifier: Any, names: list[str] | None, files: Iterable[Path]) -> Iterator[Any]:
    """Of each file what a trained classifier says, or what is wrong with the file."""
    classifier.chosen(names)
    for file in files:
        try:
            yield file, classifier.classify(file, names)
        except UserError as error:
            yield file, error


def by_names(embedder: Any, names: list[str], template: list[str] | None, files: Iterable[Path]) -> Iterator[Any]:
    """Of each file how near it is to the names, or what is wrong with the file."""
    from captioning.metrics.classification import ranked
    from captioning.tasks.embedding.zero_shot import PROMPT, class_vectors

    classes = class_vectors(embedder.embed_text, names, template or (PROMPT,))
    for file, vector in embedder.stream(files):
        bad = isinstance(vector, UserError)
        yield file, vector if bad else ranked(names, embedder.probabilities(vector[None], classes)[0])


def chosen_labels(labels: str | None, labels_file: Path | None) -> list[str]:
    """Those of --labels and --labels-file. Raises UserError where there are none."""
    from captioning.tasks.embedding.embedder import read_labels

    names = [name.strip() for name in (labels or "").split(",") if name.strip()]
    names += read_labels(labels_file) if labels_file is not None else []
    if not names:
        raise UserError("which labels are there to choose from? --labels cat,dog or --labels-file FILE, one a line")
    return names


def line(file: Path, found: dict[str, float], top: int, as_json: bool) -> str:
    """One line: JSON with all labels, or the file and the `top` most probable."""
    name = str(file)
    if as_json:
        content = {"file": name, "labels": {label: round(value, 6) for label, value in found.items()}}
        return json.dumps(content, ensure_ascii=not name.isprintable())
    best = ", ".join(f"{printable(label)} {100 * value:.1f}%" for label, value in list(found.items())[:top])
    return f"{printable(name)}\t{best}"


def write_page(path: Path, drawn: list) -> None:
    """A page of photos with their labels as bars."""
    from captioning.media.pictures import as_picture
    from captioning.reports.photo_page import SIDE, PhotoPage

    page = PhotoPage("What the photos show")
    for file, found in drawn:
        page.add_classified(str(file), as_picture(file, SIDE), found)
    page.write(path)
