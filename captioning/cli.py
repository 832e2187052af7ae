"""The `captioning` command: one thin function a verb. Imports what a verb needs when the verb runs."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Annotated, Optional

import typer

from captioning.commands.answer import answer
from captioning.commands.caption_arguments import caption
from captioning.commands.classify import classify
from captioning.commands.detect import detect
from captioning.commands.graph import graph
from captioning.commands.hydra_help import HydraCommand
from captioning.commands.import_model import import_model
from captioning.commands.locate import locate
from captioning.commands.own_packages import ALLOW, own_packages
from captioning.commands.search import search
from captioning.errors import UserError
from captioning.files.system_errors import in_words
from captioning.files.terminal import HarmlessLines, complain

app = typer.Typer(
    help="Images and video clips into sentences.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # half of the time that --help would take
    context_settings={"help_option_names": ["-h", "--help"]},
)
BARE_TRAIN = """\
captioning: nothing is said of what to train. `captioning train data=flickr8k` would train Show, Attend and Tell on
data/flickr8k in runs/flickr8k, for hours; `captioning train experiment=scenes` learns a generated world in minutes, and
`captioning train data=table data.file=photos.csv` your own captions. `captioning train --help` lists what there is."""
HYDRA = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["-h", "--help"]}


def print_version(wanted: bool) -> None:
    if wanted:
        from captioning import __version__

        print(f"captioning {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Images and video clips into sentences."""


def as_verb(run: Callable[..., int]) -> Callable[..., None]:
    """The verb that `run` is, with its options and its help."""
    return wraps(run)(lambda **options: finish(lambda: run(**options)))


@app.command(cls=HydraCommand, context_settings=HYDRA)
def train(context: typer.Context) -> None:
    """Train a model: captioning train experiment=NAME [KEY=VALUE ...] [-m]

    A Hydra run in runs/NAME. It ends with a model bundle in runs/NAME/model; resume=auto goes on after an interruption.
    """
    if not context.args:
        print(BARE_TRAIN, file=sys.stderr)
        raise typer.Exit(2)
    hydra_verb("train", context.args)


@app.command(cls=HydraCommand, context_settings=HYDRA)
def evaluate(context: typer.Context) -> None:
    """Caption a split and score it: captioning evaluate model=NAME_OR_DIR data=NAME data.split=test [KEY=VALUE ...]"""
    hydra_verb("evaluate", context.args)


@app.command(cls=HydraCommand, context_settings=HYDRA)
def extract(context: typer.Context) -> None:
    """Fill a feature store: captioning extract encoder=NAME data=NAME store=DIR [KEY=VALUE ...]

    shard=2/4 does the second quarter, import=PATH converts features that are there already, check=true reads a store
    and compares it with its checksums.
    """
    hydra_verb("extract", context.args)


@app.command(cls=HydraCommand, context_settings=HYDRA)
def regions(context: typer.Context) -> None:
    """See what a detector finds: captioning regions encoder.detector.file=FILE.onnx [photos=[a.jpg]] [KEY=VALUE ...]

    Draws the regions of photos, or prints how many of a data set's annotated objects they find.
    """
    hydra_verb("regions", context.args)


app.command()(as_verb(caption))


@app.command(cls=HydraCommand, context_settings=HYDRA)
def remember(context: typer.Context) -> None:
    """Give a model a memory of captioned photos: captioning remember model=NAME data=NAME output=DIR [KEY=VALUE ...]

    Its captions are then chosen by what people said of photos like the one before it (generation=consensus).
    """
    hydra_verb("remember", context.args)


@app.command()
def ensemble(
    models: Annotated[list[str], typer.Argument(help="Folders, runs or shipped names.", show_default=False)],
    output: Annotated[Path, typer.Option(help="The folder of the new model.", show_default=False)],
    half: Annotated[bool, typer.Option("--half", help="Keep the weights as float16.")] = False,
    allow: ALLOW = None,
) -> None:
    """Join models that have the same words into one, which averages what they believe of every next word."""

    def verb() -> int:
        from captioning.commands.ensemble import run

        return run(models, output, half=half, allow=allow or ())

    finish(verb)


app.command("import")(as_verb(import_model))


@app.command()
def score(
    references: Annotated[
        Path, typer.Argument(help="COCO, Karpathy, {id: [captions]}, JSONL or Flickr8k captions.", show_default=False)
    ],
    predictions: Annotated[
        list[Path], typer.Argument(help="COCO results, {id: caption}, JSONL or our CSV.", show_default=False)
    ],
    metrics: Annotated[
        Optional[str],
        typer.Option(help="Of bleu, meteor, rouge, cider, spice, chair; vqa, exact, wups.", show_default="usual ones"),
    ] = None,
    task: Annotated[str, typer.Option(help="captions, or vqa: QUESTIONS ANNOTATIONS RESULTS...")] = "captions",
    json: Annotated[Optional[Path], typer.Option(help="Write the scores as JSON to this file.")] = None,
    per_image: Annotated[Optional[Path], typer.Option(help="Write a CSV of every image, worst first.")] = None,
    against: Annotated[Optional[Path], typer.Option(help="Test the difference to these predictions.")] = None,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Score the ids on both sides.")] = False,
    split: Annotated[Optional[str], typer.Option(help="The split of a Karpathy file.")] = None,
    instances: Annotated[Optional[Path], typer.Option(help="COCO's instances, for CHAIR.")] = None,
    embedder: Annotated[Optional[str], typer.Option(help="A model for CLIPScore: flickr8k_embedding, CLIP.")] = None,
    images: Annotated[Optional[Path], typer.Option(help="The folder of the pictures, for --embedder.")] = None,
) -> None:
    """Score result files against references. Needs no model, but for CLIPScore."""

    def verb() -> int:
        if task == "vqa":
            from captioning.commands.score_answers import score as run_on_answers

            if per_image or split or instances or embedder or images:
                raise UserError(
                    "--per-image, --split, --instances, --embedder and --images are for captions, not for --task vqa"
                )
            rest = {"json_file": json, "against": against, "allow_missing": allow_missing}
            return run_on_answers(references, predictions, metrics=tuple((metrics or "vqa").split(",")), **rest)
        if task != "captions":
            raise UserError(f"--task {task}: it is captions or vqa")
        from captioning.commands.score import score as run

        judge = None
        if embedder is not None or images is not None:
            from captioning.commands.score_by_pictures import judge_by

            judge = judge_by(embedder, images)
        return run(
            references,
            predictions,
            metrics=tuple((metrics or "bleu,rouge,cider").split(",")),
            json_file=json,
            per_image=per_image,
            against=against,
            allow_missing=allow_missing,
            split=split,
            instances=instances,
            judge=judge,
        )

    finish(verb)


@app.command()
def demo(
    model: Annotated[
        Optional[list[str]],
        typer.Option(help="A model's folder or name; repeated, each has its tab.", show_default="the shipped"),
    ] = None,
    port: Annotated[Optional[int], typer.Option(min=1, max=65535, help="Port.", show_default="7860 or above")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets others in.")] = "127.0.0.1",
    name: Annotated[Optional[list[str]], typer.Option(help="A name of a proxy before it; may be repeated.")] = None,
    device: Annotated[Optional[str], typer.Option(help="cpu, cuda, cuda:1, ...", show_default="a GPU if any")] = None,
    allow: ALLOW = None,
) -> None:
    """Try models in the browser: drop a photo, see the sentences, click a word to see where the model looked."""

    def verb() -> int:
        from captioning.demo.serve import run

        return run(models=model or (), allow=own_packages(allow), host=host, port=port, device=device, names=name or ())

    finish(verb)


app.command()(as_verb(answer))
app.command()(as_verb(search))
app.command()(as_verb(classify))
app.command()(as_verb(locate))
app.command()(as_verb(detect))
app.command()(as_verb(graph))

data = typer.Typer(help="What of a benchmark is there, and fetch what can be fetched.", no_args_is_help=True)
app.add_typer(data, name="data")
NAME = Annotated[str, typer.Argument(help="A file of conf/data.", show_default=False)]
OPTIONS = Annotated[
    Optional[list[str]], typer.Argument(help="Options of the data set: root=DIR, year=2014.", show_default=False)
]


@data.command()
def check(name: NAME, options: OPTIONS = None) -> None:
    """Count what of a benchmark is there, and say where the rest belongs. Exit status 1 when it is incomplete."""

    def verb() -> int:
        from captioning.commands.data import check as run

        return run(name, options or ())

    finish(verb)


@data.command()
def download(name: NAME, options: OPTIONS = None) -> None:
    """Fetch what the owners publish at fixed addresses; run it again to go on where it stopped."""

    def verb() -> int:
        from captioning.commands.data import download as run

        return run(name, options or ())

    finish(verb)


def main() -> None:
    """The console script."""
    if sys.stderr is None:  # closed by whoever started us
        sys.stderr = open(os.devnull, "w")
    if sys.stdout is None:  # the next file that is opened would be written what is printed
        complain("standard output is closed: send it to a file, or to /dev/null")
        raise SystemExit(2)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HarmlessLines("captioning: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("captioning").setLevel(logging.INFO)
    for stream in (sys.stdout, sys.stderr):  # a caption that the terminal cannot show is no reason to stop
        stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore")  # what is wrong with an input is said by us, once, with the file's name
    try:
        app()
    except OSError as error:  # what --help could not be written to
        raise SystemExit(refused(error)) from None


def finish(verb: Callable[[], int]) -> None:
    """Runs a verb and exits with its status; what the user can mend is one line on stderr and status 2."""
    try:
        status = verb()
        sys.stdout.flush()
    except UserError as error:
        complain(error)
        status = 2
    except KeyboardInterrupt:
        complain("interrupted")
        status = 130
    except OSError as error:
        status = refused(error)
    raise typer.Exit(status)


def refused(error: OSError) -> int:
    """Says what the system refused. -> exit status 1; raises the error where it is likelier a bug."""
    try:
        sys.stdout.flush()
    except OSError as unwritten:
        with suppress(OSError, ValueError):  # or Python complains when it flushes at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(unwritten, BrokenPipeError):  # whose reader went away: `captioning caption folder | head`
            complain(f"standard output cannot be written ({unwritten.strerror}): make room, or choose another place")
        return 1
    if isinstance(error, BrokenPipeError):
        return 1
    said = in_words(error, otherwise="standard output, or a file,")
    if said is None:
        raise error
    complain(said)
    return 1


def hydra_verb(name: str, overrides: list[str]) -> None:
    """Runs a verb that is configured by conf/NAME.yaml and `overrides`."""

    def verb() -> int:
        from captioning.commands.hydra import run

        return run(name, overrides)

    finish(verb)


if __name__ == "__main__":
    main()
