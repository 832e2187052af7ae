"""Filling a feature store: the encoder runs once over every picture, and a broken run goes on where it stopped."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from captioning.data.source import Source
from captioning.encoders.base import Encoder
from captioning.encoders.reading import read_example
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.identity import Identity, identities
from captioning.features.store import FeatureStore
from captioning.features.store_part import COLUMNS
from captioning.memory import VisualMemory
from captioning.runtime.option_checks import require_least
from captioning.runtime.precision import computing_in

log = logging.getLogger("captioning")

STORED_BATCH = 32  # pictures that are encoded together where nobody says
LANES = 2  # parts of a batch that are at work at once


class Pictures(Dataset):
    """Decoded pictures or clips of a source: (example, what the encoder reads or the error)."""

    def __init__(
        self,
        source: Source,
        examples: list[Example],
        encoder: Encoder,
        known: Mapping[int | str, Identity] | None = None,
    ):
        self.source, self.examples, self.encoder, self.known = source, examples, encoder, known or {}

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> tuple[Example, Any | UserError]:
        try:
            if (
                self.examples[i].id in self.known
            ):  # before the picture is read: one that changes meanwhile is not its own
                self.known[self.examples[i].id].content  # noqa: B018
            return self.examples[i], read_example(self.encoder, self.source, self.examples[i])
        except UserError as error:
            return self.examples[i], error


def fill(
    folder: str | Path,
    encoder: Encoder,
    config: dict,
    source: Source,
    examples: Iterable[Example],
    *,
    batch_size: int = STORED_BATCH,
    num_workers: int | None = None,
    device: str | torch.device = "cpu",
    shard: tuple[int, int] = (1, 1),
    precision: str = "32",
    progress=None,
) -> tuple[FeatureStore, dict[Example, UserError]]:
    """Adds whatever of `examples` the store does not hold yet. -> the store, and what is wrong with those
    that cannot be read.

    `config` is the encoder's configuration, kept in the store with a digest of its weights. `shard` (k, n) is the k-th
    of n processes that fill the store together. `num_workers` threads decode, by default one a core. `progress` is
    called with (done, total) after every batch. A picture that cannot be read does not stop the others. `precision` is
    kept in the store, which has features of one. Raises UserError for another.
    """
    require_least(1, batch_size=batch_size)
    require_least(0, num_workers=num_workers or 0)
    digest, examples = encoder.digest(config), list(examples)
    known = identities(source, encoder, examples)
    mine = [part for batch in share(examples, batch_size, shard) for part in parts(batch)]
    store = None
    if (Path(folder) / "store.json").exists():
        store = FeatureStore(folder).made_by(config, digest).for_pictures(known)
        if (was := store.about.get("precision", "32")) != precision:
            raise UserError(
                f"{folder} holds features computed with precision={was}, not {precision}: choose another store"
            )
        if changed := store.outdated():
            log.info(
                f"{folder}: {changed:,} pictures are others than those of their names that it holds; they are added"
            )
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
    for batch, memory in encoded(source, list(filter(None, todo)), encoder, num_workers, device, known, precision):
        good = [example for example, picture in batch if not isinstance(picture, UserError)]
        unreadable |= {example: picture for example, picture in batch if isinstance(picture, UserError)}
        if memory is not None:
            if store is None:
                columns = [name for name in COLUMNS if getattr(memory, name) is not None]
                about = {"encoder": config, "digest": digest, "width": encoder.width, "columns": columns}
                about["precision"] = precision
                store = FeatureStore.create(folder, **about).for_pictures(known)
            store.append([example.id for example in good], memory, known)
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


def encoded(
    source: Source,
    batches: list[list[Example]],
    encoder: Encoder,
    num_workers: int | None,
    device: str | torch.device,
    known: Mapping[int | str, Identity] | None = None,
    precision: str = "32",
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
        pictures = Pictures(source, examples, encoder, known)
        batch = list(places.pool.map(pictures.__getitem__, range(len(examples))))
        good = [picture for _, picture in batch if not isinstance(picture, UserError)]
        with torch.inference_mode(), computing_in(precision, torch.device(device)):
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
