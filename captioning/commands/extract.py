"""`captioning extract`: fills a store, imports one, or compares one with its checksums."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from captioning.commands import import_features
from captioning.commands.cluster import Answer, Cluster, begun, cluster_of, done_by_actors, pieces, plain
from captioning.data.source import Source
from captioning.data.splits import examples_of
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.extract import fill
from captioning.features.store import FeatureStore
from captioning.features.stored import report_unreadable, require_room_for_store, store_folder, stored
from captioning.runtime.allocator import keep_freed_memory
from captioning.runtime.device import working_device
from captioning.runtime.precision import working_precision

log = logging.getLogger("captioning")

MOST_NAMED = 20  # damaged pictures, one line each


def run(config: DictConfig, folder: Path) -> int:
    """`captioning extract`: fills a store, or compares one with its checksums. -> exit status."""
    if config.check:
        return check(config.store)
    if config["import"] is not None:
        return import_features.run(config)
    keep_freed_memory()
    shard = shard_of(config.shard)
    encoder, source = instantiate(config.encoder), instantiate(config.data)
    description = OmegaConf.to_container(config.encoder, resolve=True)
    examples = examples_of(source, config.splits)
    device = working_device(config.device)
    options = {"batch_size": config.batch_size, "num_workers": config.num_workers, "shard": shard}
    options["precision"] = working_precision(config.precision, device, equal=False)
    if (cluster := cluster_of(config)) is not None:
        if config.shard is not None:
            raise UserError("shard=K/N is for processes that you start yourself: leave it out with cluster=ray")
        folder = extract_on_cluster(config, cluster, source, encoder, description, examples, options["precision"])
        store = FeatureStore(folder)
        log.info(f"{store.folder}: {len(store):,} pictures, {store.width} values a token")
        return 0
    store, _ = stored(config.store, source, encoder, description, examples, device=device, **options)
    log.info(f"{store.folder}: {len(store):,} pictures, {store.width} values a token")
    return 0


def extract_on_cluster(
    config: DictConfig,
    cluster: Cluster,
    source: Source,
    encoder: Encoder,
    description: dict[str, Any],
    examples: list[Example],
    precision: str,
) -> Path:
    """Has actors fill a store together, each for a share of the batches at a time. -> its folder

    A share that is done again finds what is stored already. Raises UserError where pictures cannot be read.
    """
    if config.store is None:
        raise UserError("store=null: what is extracted is kept in a store, store=DIR or store=auto")
    folder = store_folder(config.store, source, encoder, description, precision)
    require_room_for_store(folder, encoder, source, examples)
    keywords = {"config": plain(config), "folder": str(folder.absolute()), "threads": cluster.threads}
    keywords |= {"gpu": bool(cluster.gpus)}
    wrong: dict[int | str, str] = {}
    for answer in done_by_actors(cluster, ExtractingActor, keywords, pieces(len(examples), config.batch_size)):
        wrong |= answer["answer"].content
    report_unreadable(source, wrong.values(), len(examples))
    return folder


class ExtractingActor:
    """Holds the encoder, and adds the shares of a data set that it is handed to a store."""

    def __init__(self, *, config: Mapping[str, Any], folder: str, threads: int, gpu: bool):
        self.config, self.folder = begun(config, threads, gpu), folder
        self.encoder, self.source = instantiate(self.config.encoder), instantiate(self.config.data)
        self.description = OmegaConf.to_container(self.config.encoder, resolve=True)
        self.device, self.threads = working_device(self.config.device), threads
        self.examples = examples_of(self.source, self.config.splits)

    def __call__(self, piece: Mapping[str, Any]) -> dict[str, Any]:
        precision = working_precision(self.config.precision, self.device, equal=False)
        options = {"batch_size": self.config.batch_size, "num_workers": self.config.num_workers or self.threads}
        options |= {"device": self.device, "precision": precision, "shard": (int(piece["part"]), int(piece["of"]))}
        _, wrong = fill(self.folder, self.encoder, self.description, self.source, self.examples, **options)
        return {"answer": Answer({example.id: str(error) for example, error in wrong.items()})}


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
