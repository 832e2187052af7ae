"""`captioning caption` of shards: an output for each, on this machine or on a cluster, going on where it stopped."""

from __future__ import annotations

import hashlib
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from captioning import __version__
from captioning.commands.cluster import Cluster, done_by_actors
from captioning.commands.shard_captions import Work, caption_shards, open_captioner
from captioning.errors import UserError
from captioning.files.lock import locked
from captioning.files.terminal import complain
from captioning.models.shipped import default_model, find_model
from captioning.runtime.progress import progress_bar
from captioning.shards.outputs import ENDINGS, STATS, agree, done, is_done, require_format, summarise
from captioning.shards.places import is_remote, place_of
from captioning.shards.record import Columns
from captioning.shards.shard import Shard, find_shards, output_names

log = logging.getLogger("captioning")


def run(
    paths: Iterable[Path],
    *,
    output: Path | None,
    format: str,
    model: str | None,
    options: Mapping[str, Any],
    device: str | None,
    batch_size: int,
    min_confidence: float | None,
    precision: str,
    columns: Columns,
    overwrite: bool,
    cluster: Cluster | None,
    allow: Sequence[str] = (),
) -> int:
    """-> exit status: 1 where a picture or a shard could not be read, each shard with one named, the rest done."""
    if output is None or output.suffix in (".jsonl", ".csv"):
        raise UserError("shards are captioned into a folder, an output for each: --output FOLDER")
    shards, folder = find_shards(paths), place_of(output)
    require_format(format, shards)
    if device is not None and "," in device:
        raise UserError("--device: several devices share shards out by --cluster ray --gpus 1")
    work = Work(
        model, dict(options), folder, format, columns, batch_size, min_confidence, precision, model or "", allow
    )
    device = device or ("cuda" if cluster is not None and cluster.gpus else None)
    work, about = described(replace(work, precision=settled(work, device, cluster)))
    alone = nullcontext() if is_remote(folder) else locked(folder, "Wait until that has ended, or choose another.")
    with alone:
        agree(folder, about, overwrite=overwrite)
        remove_torn(folder)
        there = {} if overwrite else done(folder, format)
        names = output_names(shards, {name: stats["shard"] for name, stats in there.items()})
        todo = [(shard, names[shard]) for shard in shards if not is_done(there.get(names[shard]), shard)]
        began, failed, wrong, rows = time.monotonic(), 0, 0, 0
        try:
            with progress_bar("shards", enabled=sys.stderr.isatty()) as report:
                for number, said in enumerate(_captioned(todo, work, device, cluster), 1):
                    if "failed" in said:
                        failed += 1
                        complain(said["failed"])
                    else:
                        rows, wrong = rows + said["rows"], wrong + said["errors"]
                        _name(said)
                    report(number, len(todo))
        finally:
            if not is_remote(folder) or sys.exc_info()[0] is None:
                summarise(folder, about, format)
        remove_torn(folder)  # of actors that were lost at their work, which others did again
        seconds = time.monotonic() - began
        speed = f" in {seconds:.0f} s ({rows / seconds:.1f} rows/s)" if rows else ""
        counts = f"{len(shards) - len(todo):,} were done, {failed:,} could not be read, {wrong:,} rows are errors"
        log.info(f"{len(todo) - failed:,} shards captioned{speed}, {counts}")
    return 1 if failed or wrong else 0


def _name(said: Mapping[str, Any]) -> None:
    """Says of a shard with errors how many, and the first."""
    if said["errors"]:
        more = f" (and {said['errors'] - 1:,} more, in {said['name']}{STATS})" if said["errors"] > 1 else ""
        complain(f"{said['first_errors'][0]}{more}")


def _captioned(
    todo: Sequence[tuple[Shard, str]], work: Work, device: str | None, cluster: Cluster | None
) -> Iterator[dict[str, Any]]:
    """What is said of each shard as it is done."""
    if not todo:
        return
    if cluster is None:
        yield from caption_shards(open_captioner(work, device), todo, work)
        return
    device = device or "cpu"
    keywords = {"work": asdict(work), "device": device, "threads": cluster.threads}
    pieces = [{"place": shard.place, "shard": shard.name, "name": name} for shard, name in todo]
    for answer in done_by_actors(cluster, ShardActor, keywords, pieces):
        yield from answer["stats"]


class ShardActor:
    """Holds the model, and captions the shards that it is handed."""

    def __init__(self, *, work: Mapping[str, Any], device: str, threads: int):
        import torch

        torch.set_num_threads(threads)
        from captioning.commands.own_packages import own_packages

        own_packages(work["allow"])
        self.work = Work(**{**work, "columns": Columns(**work["columns"])})
        self.captioner = open_captioner(self.work, device)

    def __call__(self, piece: Mapping[str, Any]) -> dict[str, Any]:
        shard = Shard(str(piece["place"]), str(piece["shard"]))
        return {"stats": list(caption_shards(self.captioner, [(shard, str(piece["name"]))], self.work))}


def settled(work: Work, device: str | None, cluster: Cluster | None) -> str:
    """What `auto` is here and now: outputs of one folder, and actors on whatever machines, compute in one precision."""
    if work.precision != "auto":
        return work.precision
    import torch

    from captioning.runtime.device import working_device
    from captioning.runtime.precision import working_precision
    from captioning.tasks.load import equal_in_bf16, is_of_hub

    model = default_model() if work.model is None else work.model
    asked = torch.device("cpu") if device is None and cluster is not None else working_device(device)
    return working_precision("auto", asked, equal=not is_of_hub(model) and equal_in_bf16(model))


def described(work: Work) -> tuple[Work, dict[str, Any]]:
    """The work with the model's place and name settled, and what makes its outputs, for the manifest."""
    from captioning.tasks.load import is_of_hub

    def settled(name: str) -> tuple[str, str | None]:
        """Where a model is, wherever it is asked for, and the digest of its weights; of the hub the name."""
        if is_of_hub(name):
            return name, None
        folder = Path(find_model(name)).absolute()
        with open(folder / "weights.safetensors", "rb") as weights:
            return str(folder), _digest(weights)

    model = str(default_model() if work.model is None else work.model)
    called = model if "/" not in model else Path(model).name
    place, digest = settled(model)
    about = {"captioning": __version__, "model": called, "weights": digest, "options": dict(work.options)}
    about |= {"format": work.format, "precision": work.precision, "min_confidence": work.min_confidence}
    options = dict(work.options)
    if "rerank" in options:
        options["rerank"], about["rerank_weights"] = settled(str(options["rerank"]))
    return replace(work, model=place, called=called, options=options), about


def _digest(file: Any) -> str:
    found = hashlib.sha256()
    while part := file.read(1 << 20):
        found.update(part)
    return found.hexdigest()


def remove_torn(folder: str) -> None:
    """Removes what a run or an actor that was killed left of outputs it was writing; nobody else writes meanwhile."""
    if is_remote(folder):
        return
    for ending in (*ENDINGS.values(), STATS, "manifest.json"):
        for part in Path(folder).glob(f".*{ending}.*.part"):
            with suppress(OSError):
                part.unlink()
