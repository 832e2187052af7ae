"""What `captioning caption` takes: its options as they are typed. Imports nothing that takes time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from captioning.commands.own_packages import ALLOW

MOST = 1000  # beams, whose number multiplies the memory a search takes


def caption(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Photos, clips, folders of them, addresses, - for standard input; or shards.", show_default=False
        ),
    ],
    model: Annotated[
        Optional[str], typer.Option(help="A folder, a name, or OWNER/MODEL.", show_default="the shipped")
    ] = None,
    beam_size: Annotated[
        Optional[int], typer.Option(min=1, max=MOST, help="Beams; 1 is greedy.", show_default="the model's")
    ] = None,
    num_captions: Annotated[int, typer.Option(min=1, max=MOST, help="Captions for each photo, best first.")] = 1,
    prefix: Annotated[Optional[str], typer.Option(help="The words that each sentence begins with.")] = None,
    prompt: Annotated[Optional[str], typer.Option(help="What a model that can be asked is asked.")] = None,
    word: Annotated[Optional[list[str]], typer.Option(help="A word or phrase to contain; may be repeated.")] = None,
    min_words: Annotated[Optional[int], typer.Option(min=1, max=MOST, help="Words at least.")] = None,
    max_words: Annotated[Optional[int], typer.Option(min=1, max=MOST, help="Words at most.")] = None,
    samples: Annotated[Optional[int], typer.Option(min=1, max=MOST, help="Draw so many sentences at random.")] = None,
    temperature: Annotated[Optional[float], typer.Option(help="Of drawing: above 1 bolder, below 1 surer.")] = None,
    top_p: Annotated[Optional[float], typer.Option(help="Draw from the likeliest words of this share.")] = None,
    seed: Annotated[Optional[int], typer.Option(help="Of drawing: the same seed, the same sentences.")] = None,
    rerank: Annotated[
        Optional[str], typer.Option(help="An embedder by which the best of some captions come first.")
    ] = None,
    rerank_weight: Annotated[
        Optional[float], typer.Option(min=0, help="Of its log-odds, beside the search's score.", show_default="0.1")
    ] = None,
    candidates: Annotated[
        Optional[int], typer.Option(min=1, max=MOST, help="Captions that are ranked.", show_default="10")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: file, caption, score, confidence.")
    ] = False,
    attention: Annotated[
        Optional[Path], typer.Option(help="Write a picture of where the model looked, word by word, into this folder.")
    ] = None,
    every: Annotated[Optional[float], typer.Option(help="A sentence for each so many seconds of a clip.")] = None,
    format: Annotated[
        Optional[str],
        typer.Option(help="text, json, srt or vtt; of shards parquet, jsonl or webdataset.", show_default="text"),
    ] = None,
    into: Annotated[Optional[Path], typer.Option(help="Write the subtitles of each clip into this folder.")] = None,
    page: Annotated[Optional[Path], typer.Option(help="Write an HTML page with frames and sentences.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders' folders too.")] = False,
    device: Annotated[
        Optional[str], typer.Option(help="cpu, cuda, or several: cuda:0,cuda:1", show_default="a GPU if any")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=MOST, help="Photos that the model sees at once.")] = 16,
    min_confidence: Annotated[
        Optional[float],
        typer.Option(
            min=0, max=1, help="How sure (0 to 1) a sentence has to be to be right; else what is seen, or none."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not say what a model knows on its first use.")] = False,
    sidecar: Annotated[bool, typer.Option("--sidecar", help="Write photo.txt beside each photo.")] = False,
    sidecar_ending: Annotated[
        Optional[str], typer.Option(help="As --sidecar, with this ending: .caption", show_default=".txt")
    ] = None,
    output: Annotated[Optional[Path], typer.Option(help="Append to this .jsonl or .csv; of shards a folder.")] = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave what is there, and do the rest.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    allow: ALLOW = None,
    precision: Annotated[str, typer.Option(help="32, bf16 where the device has it, or auto.")] = "32",
    image_column: Annotated[Optional[str], typer.Option(help="Of Parquet: bytes, paths or addresses.")] = None,
    id_column: Annotated[Optional[str], typer.Option(help="Of Parquet.")] = None,
    cluster: Annotated[Optional[str], typer.Option(help="ray: shards on all machines of a cluster.")] = None,
    address: Annotated[str, typer.Option(help="Of the cluster: local, auto, or HOST:PORT.")] = "local",
    actors: Annotated[Optional[int], typer.Option(min=1, help="Processes.", show_default="as many as fit")] = None,
    cpus: Annotated[float, typer.Option(min=0, help="Cores of each.")] = 1.0,
    gpus: Annotated[float, typer.Option(min=0, help="GPUs of each: 1, or a fraction that they share.")] = 0.0,
) -> int:
    """Print a sentence for each photo or clip, one line a file, or write them to files, for many of them.

    With --every there are several for a clip, with times.

    The score is what a search ranks a photo's captions by: a log-probability, and agreement with remembered captions.
    It is no probability, and compares captions of one model and search. The confidence, of a model that was calibrated,
    is one: of captions with 0.8 four of five name something that is there and nothing that is not.

    Shards (.tar, .parquet, .arrow, lists of photos in .txt, folders of `datasets`, s3:// and the like) are captioned
    into a folder, an output for each: captioning caption shards/*.tar --output out/. A second run does what is missing.

    Exit status: 0 done, 1 some files could not be read (each named, the others done), 2 bad usage.
    """
    given = locals()
    from captioning.commands.caption_options import run

    return run(**given)
