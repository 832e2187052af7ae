"""The options of `captioning caption`: what goes with what, and which of its three ways of writing is meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioning.commands import caption as one_by_one
from captioning.commands import caption_to_files
from captioning.commands.arrivals import arrivals
from captioning.commands.caption_files import Existing
from captioning.commands.cluster import Cluster
from captioning.commands.introduction import introduce
from captioning.commands.own_packages import own_packages
from captioning.errors import UserError
from captioning.shards.record import Columns
from captioning.shards.shard import is_shards

GENERATION = (
    "beam_size",
    "min_words",
    "max_words",
    "temperature",
    "top_p",
    "seed",
    "prompt",
    "rerank",
    "rerank_weight",
    "candidates",
)  # as the library calls them, too


def run(
    paths: Sequence[Path],
    *,
    model: str | None,
    recursive: bool,
    device: str | None,
    batch_size: int,
    min_confidence: float | None,
    attention: Path | None,
    json: bool,
    format: str | None,
    every: float | None,
    into: Path | None,
    page: Path | None,
    sidecar: bool,
    sidecar_ending: str | None,
    output: Path | None,
    skip_existing: bool,
    overwrite: bool,
    quiet: bool = False,
    allow: Sequence[str] | None = None,
    precision: str = "32",
    image_column: str | None = None,
    id_column: str | None = None,
    cluster: str | None = None,
    address: str = "local",
    actors: int | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    **generation: Any,
) -> int:
    """Captions `paths`. -> exit status. Raises UserError for options that do not go together."""
    existing = Existing(keep=skip_existing, overwrite=overwrite)
    ending = sidecar_ending if sidecar_ending is not None else ".txt" if sidecar else None
    written = (ending, output, into, page, attention)
    if any(map(is_shards, paths)):
        if not all(map(is_shards, paths)):
            raise UserError("shards and photos do not go together: caption the photos by a command of their own")
        if any(given is not None for given in (ending, into, page, attention, every)) or json or recursive:
            raise UserError(
                "of shards there is one output each: --output FOLDER, --format parquet, jsonl or webdataset"
            )
        from captioning.commands import caption_shards

        return caption_shards.run(
            paths,
            output=output,
            format=format or "parquet",
            model=model,
            options=options_of(**generation),
            device=device,
            batch_size=batch_size,
            min_confidence=min_confidence,
            precision=precision,
            columns=Columns(image=image_column, id=id_column),
            overwrite=overwrite,
            cluster=Cluster(cluster, address, actors, cpus, gpus) if cluster else None,
            allow=own_packages(allow),
        )
    if cluster or image_column or id_column:
        raise UserError(
            "--cluster, --image-column and --id-column are for shards: .tar, .parquet, .arrow, lists (.txt)"
        )
    if (skip_existing or overwrite) and not any(place is not None for place in written):
        raise UserError(
            "--skip-existing and --overwrite are about files that are written: give --sidecar, --output, --into, "
            "--page or --attention, too"
        )
    common = {"model": model, "options": options_of(**generation), "recursive": recursive, "device": device}
    common |= {"existing": existing, "allow": own_packages(allow), "precision": precision}
    in_time = any(given is not None for given in (every, format, into, page))
    if in_time:
        if attention is not None or (json and format not in (None, "json")):
            raise UserError("--attention and --json do not go with --every, --format, --into and --page")
        if min_confidence is not None:
            raise UserError("--min-confidence does not go with --every, --format, --into and --page")
        if ending is not None or output is not None:
            raise UserError("--sidecar and --output do not go with --every, --format, --into and --page")
    if not quiet:
        introduce(model)
    with arrivals(paths) as (files, failures):
        if ending is not None and any(hasattr(file, "shown") for file in files):
            raise UserError("--sidecar writes beside a file: what comes by - or from an address lies nowhere")
        if failures and not files:
            return 1
        if in_time:
            from captioning.commands.caption_clips import run as run_on_clips

            kind = format or ("json" if json else "text")
            status = run_on_clips(files, **common, kind=kind, every=every, into=into, page=page)
        else:
            common |= {"attention": attention, "batch_size": batch_size, "min_confidence": min_confidence}
            if ending is not None or output is not None:
                status = caption_to_files.run(files, **common, sidecar=ending, output=output)
            else:
                status = one_by_one.run(files, **common, as_json=json)
    return status or failures


def options_of(
    *, num_captions: int, samples: int | None, prefix: str | None, word: Sequence[str] | None, **named: Any
) -> dict[str, Any]:
    """What of the command's options is the library's, by its names."""
    options = {name: named[name] for name in GENERATION}
    options |= {
        "num_captions": num_captions if num_captions > 1 else None,
        "num_samples": samples,
        "forced_prefix": [prefix] if prefix is not None else None,
        "forced_words": list(word or ()) or None,
    }
    return {name: value for name, value in options.items() if value is not None}
