"""`captioning extract`: fills a store, imports one, or compares one with its checksums."""

from __future__ import annotations

import logging
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from captioning.commands import import_features
from captioning.data.splits import examples_of
from captioning.errors import UserError
from captioning.features.store import FeatureStore
from captioning.features.stored import stored
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
    plain = OmegaConf.to_container(config.encoder, resolve=True)
    examples = examples_of(source, config.splits)
    device = working_device(config.device)
    options = {"batch_size": config.batch_size, "num_workers": config.num_workers, "shard": shard}
    options["precision"] = working_precision(config.precision, device, equal=False)
    store, _ = stored(config.store, source, encoder, plain, examples, device=device, **options)
    log.info(f"{store.folder}: {len(store):,} pictures, {store.width} values a token")
    return 0


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
