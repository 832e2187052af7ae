"""Filling a feature store: the encoder runs once over every picture, and a broken run goes on where it stopped."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import DataLoader, Dataset

from captioning.data.checks import Checks
from captioning.data.features import COLUMNS, FeatureStore
from captioning.data.source import Example, Source
from captioning.disk import require_room
from captioning.encoders.base import Encoder
from captioning.errors import UserError

log = logging.getLogger("captioning")


class Pictures(Dataset):
    """Decoded pictures of a source: (example, what the encoder reads or the error)."""

    def __init__(self, source: Source, examples: list[Example], encoder: Encoder):
        self.source, self.examples, self.read = source, examples, encoder.read

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, i: int) -> tuple[Example, torch.Tensor | UserError]:
        try:
            return self.examples[i], self.read(self.source.image(self.examples[i]))
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
    num_workers: int = 1,
    device: str | torch.device = "cpu",
    progress=None,
) -> tuple[FeatureStore, dict[Example, UserError]]:
    """Adds whatever of `examples` the store does not hold yet. -> the store, and what is wrong with those
    that cannot be read.

    `config` is the encoder's configuration, kept in the store with a digest of its weights. `progress` is called
    with (done, total) after every batch. A picture that cannot be read does not stop the others.
    """
    digest = encoder.digest(config)
    examples, store = list(examples), None
    if (Path(folder) / "store.json").exists():
        store = FeatureStore(folder).made_by(config, digest).recover()
        absent = set(store.missing([example.id for example in examples]))
        todo = [example for example in examples if example.id in absent]
    else:
        todo = examples
    encoder = encoder.to(device).eval()
    unreadable: dict[Example, UserError] = {}
    done = len(examples) - len(todo)
    for batch in _batches(source, todo, encoder, batch_size, num_workers):
        good = [(example, picture) for example, picture in batch if not isinstance(picture, UserError)]
        unreadable |= {example: picture for example, picture in batch if isinstance(picture, UserError)}
        if good:
            with torch.inference_mode():
                memory = encoder(encoder.collate([picture for _, picture in good]).to(device))
            store = store or FeatureStore.create(
                folder,
                encoder=config,
                digest=digest,
                width=encoder.width,
                columns=[name for name in COLUMNS if getattr(memory, name) is not None],
            )
            store.append([example.id for example, _ in good], memory)
        done += len(batch)
        if progress:
            progress(done, len(examples))
    if store is None:
        raise UserError(f"{source.name}: none of {len(examples):,} pictures could be read")
    return store, unreadable


def _batches(source, examples, encoder, batch_size, num_workers) -> Iterator[list]:
    pictures = Pictures(source, examples, encoder)
    return iter(
        DataLoader(pictures, batch_size=batch_size, num_workers=num_workers if examples else 0, collate_fn=list)
    )


def stored(
    where: str | None, source: Source, encoder: Encoder, config: dict, examples: list[Example], **options
) -> tuple[FeatureStore | None, set[int | str]]:
    """The store that training or evaluation reads, filled as far as needed, and the ids that can be used.

    `where` is a folder, "auto" for the cache's own, or None for no store: then the encoder sees every picture anew,
    as it must when it learns. A picture that cannot be read is an error unless the source skips those.
    """
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
        memory = encoder.eval()(encoder.collate([picture]).to(next(encoder.buffers()).device))
    values = {name: getattr(memory, name) for name in COLUMNS if getattr(memory, name) is not None}
    each = sum(value.numel() * np.dtype(COLUMNS[name]).itemsize for name, value in values.items())
    remedy = "Make room, choose another folder with store=DIR, or set encoder.grid to fewer cells."
    require_room(folder, each * len(todo), f"the features of {len(todo):,} pictures", remedy)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr with speed and time left, moved by calling it with (done, total). Silent until first called."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = None

        def report(done: int, total: int) -> None:
            nonlocal task
            if task is None:
                task = progress.add_task(title, total=total, completed=done, speed="")
            speed = progress.tasks[0].speed
            progress.update(task, completed=done, speed=f"{speed:.0f}/s" if speed else "")

        yield report


def run(config: DictConfig, folder: Path) -> int:
    """`captioning extract`: fills a store, or compares one with its checksums. -> exit status."""
    if config.check:
        return check(config.store)
    encoder, source = instantiate(config.encoder), instantiate(config.data)
    plain = OmegaConf.to_container(config.encoder, resolve=True)
    examples = examples_of(source, config.splits)
    options = {"batch_size": config.batch_size, "num_workers": config.num_workers}
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
    if damaged:
        log.error(f"{folder}: {len(damaged):,} of {len(store):,} pictures are damaged, the first is {damaged[0]!r}")
        return 1
    log.info(f"{folder}: {len(store):,} pictures, all as they were written")
    return 0
