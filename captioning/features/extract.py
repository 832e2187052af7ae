"""Filling a feature store: the encoder runs once over every picture, and a broken run goes on where it stopped."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import Dataset

from captioning.runtime.allocator import keep_freed_memory
from captioning.features import convert
from captioning.data.defects import Checks
from captioning.features.store_part import COLUMNS
from captioning.features.store import FeatureStore
from captioning.data.source import Example, Source, read_example
from captioning.files.disk_space import require_room
from captioning.encoders.base import Encoder
from captioning.encoders.imported import Imported
from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.runtime.option_checks import require_whole
from captioning.runtime.progress import progress_bar

log = logging.getLogger("captioning")

LANES = 2  # parts of a batch that are at work at once
MOST_NAMED = 20  # damaged pictures, one line each


class Pictures(Dataset):
    """Decoded pictures or clips of a source: (example, what the encoder reads or the error)."""

    def __init__(self, source: Source, examples: list[Example], encoder: Encoder):
        self.source, self.examples, self.encoder = source, examples, encoder

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> tuple[Example, Any | UserError]:
        try:
            return self.examples[i], read_example(self.encoder, self.source, self.examples[i])
        except UserError as error:
            return self.examples[i], error


def default_folder(name: str, encoder: dict, digest: str) -> Path:
    """Where the features of a data set by an encoder are kept when nobody says: one folder a pair."""
    cache = Path(os.environ.get("CAPTIONING_CACHE") or Path.home() / ".cache" / "captioning")
    backbone = str(encoder.get("backbone") or encoder["_target_"].rsplit(".", 1)[-1])
    return cache / "features" / f"{name}-{backbone.replace('/', '-')}-{digest[:12]}"


def fill(
    folder: str | Path,
    encoder: Encoder,
    config: dict,
    source: Source,
    examples: Iterable[Example],
    *,
    batch_size: int = 32,
    num_workers: int | None = None,
    device: str | torch.device = "cpu",
    shard: tuple[int, int] = (1, 1),
    progress=None,
) -> tuple[FeatureStore, dict[Example, UserError]]:
    """Adds whatever of `examples` the store does not hold yet. -> the store, and what is wrong with those
    that cannot be read.

    `config` is the encoder's configuration, kept in the store with a digest of its weights. `shard` (k, n) is the k-th
    of n processes that fill the store together. `num_workers` threads decode, by default one a core. `progress` is
    called with (done, total) after every batch. A picture that cannot be read does not stop the others.
    """
    require_whole("", batch_size=batch_size)
    if batch_size < 1:
        raise UserError(f"batch_size is {batch_size}: it is 1 or more")
    digest, examples = encoder.digest(config), list(examples)
    mine = [part for batch in share(examples, batch_size, shard) for part in parts(batch)]
    store = None
    if (Path(folder) / "store.json").exists():
        store = FeatureStore(folder).made_by(config, digest)
        absent = set(store.missing([example.id for example in examples]))
        todo = [[example for example in part if example.id in absent] for part in mine]
    else:
        todo = mine
    if not mine and store is None:
        raise UserError(
            f"shard={shard[0]}/{shard[1]} has nothing to do: {len(examples):,} pictures in batches of {batch_size} are "
            f"fewer than that. Take fewer shards"
        )
    encoder = encoder.to(device).eval()
    unreadable: dict[Example, UserError] = {}
    total = sum(map(len, mine))
    done = total - sum(map(len, todo))
    for batch, memory in seen(source, list(filter(None, todo)), encoder, num_workers, device):
        good = [example for example, picture in batch if not isinstance(picture, UserError)]
        unreadable |= {example: picture for example, picture in batch if isinstance(picture, UserError)}
        if memory is not None:
            if store is None:
                columns = [name for name in COLUMNS if getattr(memory, name) is not None]
                about = {"encoder": config, "digest": digest, "width": encoder.width, "columns": columns}
                store = FeatureStore.create(folder, **about)
            store.append([example.id for example in good], memory)
        done += len(batch)
        if progress:
            progress(done, total)
    if store is None:
        raise UserError(f"{source.name}: none of {total:,} pictures could be read")
    return store.close(), unreadable


def share(examples: Sequence[Example], batch_size: int, shard: tuple[int, int] = (1, 1)) -> list[list[Example]]:
    """Every n-th batch from the k-th, for `shard` (k, n).

    Batches are cut from the whole list whatever a store already holds, so that an interrupted or a shared extraction
    computes every picture in the same company as one made in one go: then even the last bits are the same.
    """
    starts = range(0, len(examples), batch_size)[shard[0] - 1 :: shard[1]]
    return [list(examples[start : start + batch_size]) for start in starts]


def parts(batch: list[Example]) -> list[list[Example]]:
    """What each lane takes of a batch, stored as soon as it is done: what a crash can lose is one batch in all."""
    each = -(-len(batch) // LANES)
    return [batch[start : start + each] for start in range(0, len(batch), each)]


def seen(
    source: Source, batches: list[list[Example]], encoder: Encoder, num_workers: int | None, device: str | torch.device
) -> Iterator[tuple[list[tuple[Example, Any | UserError]], VisualMemory | None]]:
    """Each batch as it was read, and the memory of what could be; None where nothing could.

    `LANES` of them are at work at once, each decoded by threads, then encoded. Where the encoder has no device of its
    own a lane keeps to its share of the cores: then none of them waits for the last picture of a batch or for what only
    one of them can do, and no thread that decodes makes those of a matrix product wait for it.
    """
    workers = num_workers or _cores()
    lanes = min(LANES, workers)
    shared = torch.device(device).type == "cpu"
    threads = torch.get_num_threads()
    places = threading.local()

    def enter() -> None:
        places.pool = ThreadPoolExecutor(max(1, workers // lanes) if shared else workers)
        if shared:
            torch.set_num_threads(max(1, threads // lanes))

    def look(examples: list[Example]) -> tuple[list[tuple[Example, Any | UserError]], VisualMemory | None]:
        pictures = Pictures(source, examples, encoder)
        batch = list(places.pool.map(pictures.__getitem__, range(len(examples))))
        good = [picture for _, picture in batch if not isinstance(picture, UserError)]
        with torch.inference_mode():
            memory = encoder(encoder.collate(good).to(device)) if good else None
        return [(example, picture if isinstance(picture, UserError) else None) for example, picture in batch], memory

    with ThreadPoolExecutor(lanes, initializer=enter) as pool:
        waiting: deque[Future] = deque()
        try:
            for examples in batches:
                waiting.append(pool.submit(look, examples))
                if len(waiting) == lanes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
            torch.set_num_threads(threads)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def stored(
    where: str | None, source: Source, encoder: Encoder, config: dict, examples: list[Example], **options
) -> tuple[FeatureStore | None, set[int | str]]:
    """The store that training or evaluation reads, filled as far as needed, and the ids that can be used.

    `where` is a folder, "auto" for the cache's own, or None for no store: then the encoder sees every picture anew,
    as it must when it learns. A picture that cannot be read is an error unless the source skips those.
    """
    if isinstance(encoder, Imported):
        return convert.imported_store(where, source, encoder, config, examples)
    if where is None or encoder.finetune:
        return None, {example.id for example in source.readable(examples)}
    folder = default_folder(source.name, config, encoder.digest(config)) if where == "auto" else Path(where)
    require_room_for_store(folder, encoder, source, examples)
    with progress_bar(f"{source.name} through {type(encoder).__name__}") as report:
        store, unreadable = fill(folder, encoder, config, source, examples, progress=report, **options)
    checks = getattr(source, "checks", Checks())
    reasons = [str(error).rstrip(".") for error in unreadable.values()]
    checks.report(source.name, reasons, len(examples), "pictures", "unreadable", "Replace or remove them")
    gone = {example.id for example in unreadable}
    return store, {example.id for example in examples} - gone


def require_room_for_store(folder: Path, encoder: Encoder, source: Source, examples: Sequence[Example]) -> None:
    """Raises UserError unless the features of those `examples` that are not stored yet will find room.

    Every picture is taken to need as much as the first that can be read.
    """
    known = FeatureStore(folder) if (folder / "store.json").exists() else ()
    todo = [example for example in examples if example.id not in known]
    pictures = (picture for _, picture in Pictures(source, todo[:8], encoder) if not isinstance(picture, UserError))
    if (picture := next(pictures, None)) is None:
        return
    with torch.inference_mode():
        device = next(chain(encoder.parameters(), encoder.buffers())).device
        memory = encoder.eval()(encoder.collate([picture]).to(device))
    values = {name: getattr(memory, name) for name in COLUMNS if getattr(memory, name) is not None}
    each = sum(value.numel() * np.dtype(COLUMNS[name]).itemsize for name, value in values.items())
    remedy = "Make room, choose another folder with store=DIR, or set encoder.grid to fewer cells."
    require_room(folder, each * len(todo), f"the features of {len(todo):,} pictures", remedy)


def run(config: DictConfig, folder: Path) -> int:
    """`captioning extract`: fills a store, or compares one with its checksums. -> exit status."""
    if config.check:
        return check(config.store)
    if config["import"] is not None:
        return convert.run(config)
    keep_freed_memory()
    shard = shard_of(config.shard)
    encoder, source = instantiate(config.encoder), instantiate(config.data)
    plain = OmegaConf.to_container(config.encoder, resolve=True)
    examples = examples_of(source, config.splits)
    options = {"batch_size": config.batch_size, "num_workers": config.num_workers, "shard": shard}
    device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    store, _ = stored(config.store, source, encoder, plain, examples, device=device, **options)
    log.info(f"{store.folder}: {len(store):,} pictures, {store.width} values a token")
    return 0


def examples_of(source: Source, splits: Sequence[str] | None) -> list[Example]:
    """The examples of several splits, or of all that are there; of those that are not, a warning says why."""
    found: dict[int | str, Example] = {}
    for split in splits or source.splits:
        try:
            found |= {example.id: example for example in source.examples(split)}
        except UserError as error:
            if splits:
                raise
            log.warning(f"without the split {split}: {error}")
    if not found:
        raise UserError(f"{source.name}: there is nothing to extract, every split is missing")
    return list(found.values())


def check(folder: str) -> int:
    """Reads a whole store and names what is damaged. -> 0, or 1 where something is."""
    if folder in (None, "auto"):
        raise UserError("check=true needs store=DIR")
    store = FeatureStore(folder)
    damaged = store.damaged()
    for key, part in list(damaged.items())[:MOST_NAMED]:
        log.error(f"{part}: the features of {key!r} are damaged")
    if damaged:
        parts = sorted({str(part) for part in damaged.values()})
        log.error(
            f"{folder}: {len(damaged):,} of {len(store):,} pictures are damaged. Delete {', '.join(parts)} and run the "
            f"command that made the store again: it adds what is missing"
        )
        return 1
    log.info(f"{folder}: {len(store):,} pictures, all as they were written")
    return 0


def shard_of(text: str | None) -> tuple[int, int]:
    """ "2/4" -> (2, 4), None -> (1, 1). Raises UserError for anything else."""
    if text is None:
        return 1, 1
    number, slash, of = str(text).partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise UserError(f"shard={text}: it is K/N, the K-th of N processes, such as 2/4")
    return int(number), int(of)
