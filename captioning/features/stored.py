"""The store that training and evaluation read, filled as far as needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from captioning.data.defects import Checks
from captioning.data.source import Source
from captioning.encoders.base import Encoder
from captioning.encoders.imported import Imported
from captioning.errors import UserError
from captioning.example import Example
from captioning.features import convert
from captioning.features.extract import Pictures, fill
from captioning.features.identity import identities, number_of
from captioning.features.store import FeatureStore
from captioning.features.store_part import COLUMNS
from captioning.files.disk_space import require_room
from captioning.files.new_file import private_folder
from captioning.runtime.progress import progress_bar


def default_folder(source: Source, encoder: dict, digest: str) -> Path:
    """Where the features of a data set by an encoder are kept when nobody says: one folder a pair.

    Data sets of one name that lie in different places are different ones.
    """
    cache = Path(os.environ.get("CAPTIONING_CACHE") or Path.home() / ".cache" / "captioning")
    backbone = str(encoder.get("backbone") or encoder["_target_"].rsplit(".", 1)[-1])
    place = source.place()
    name = f"{source.name}-{number_of(place):016x}" if place else source.name
    return cache / "features" / f"{name.replace('/', '-')}-{backbone.replace('/', '-')}-{digest[:12]}"


def private_cache(folder: Path) -> None:
    """Makes the cache's folder, the user's own. Raises UserError where it is not, or cannot be made."""
    try:
        private_folder(folder)
    except OSError as error:
        remedy = "Remove it, or name another place with store=DIR or the variable CAPTIONING_CACHE."
        raise UserError(f"the cache {folder} cannot be used ({error.strerror}). {remedy}") from error


def stored(
    where: str | None, source: Source, encoder: Encoder, config: dict, examples: list[Example], **options
) -> tuple[FeatureStore | None, set[int | str]]:
    """The store that training or evaluation reads, filled as far as needed, and the ids that can be used.

    `where` is a folder, "auto" for the cache's own, or None for no store: then the encoder sees every picture anew,
    as it must when it learns. A picture that cannot be read is an error unless the source skips those.
    """
    if isinstance(encoder, Imported):
        return convert.imported_store(where, source, encoder, config, examples)
    if where is None or encoder.finetune or not encoder.storable:
        # Where pictures are left out, those of a damaged body have to be known before a batch of training meets them.
        skipping = getattr(source, "on_missing", None) == "skip"
        return None, {example.id for example in source.readable(examples, decode=skipping)}
    folder = store_folder(where, source, encoder, config, options.get("precision", "32"))
    require_room_for_store(folder, encoder, source, examples)
    with progress_bar(f"{source.name} through {type(encoder).__name__}") as report:
        store, unreadable = fill(folder, encoder, config, source, examples, progress=report, **options)
    report_unreadable(source, map(str, unreadable.values()), len(examples))
    gone = {example.id for example in unreadable}
    return store, {example.id for example in examples} - gone


def store_folder(where: str, source: Source, encoder: Encoder, config: dict, precision: str) -> Path:
    """The folder of a store, "auto" being the cache's own, which is made. Raises UserError."""
    if where != "auto":
        return Path(where)
    folder = default_folder(source, config, encoder.digest(config))
    if precision != "32":
        folder = folder.with_name(f"{folder.name}-{precision}")
    private_cache(folder.parent)
    return folder


def report_unreadable(source: Source, reasons: Iterable[str], total: int) -> None:
    """Names the pictures of a store that could not be read. Raises UserError unless the source skips those."""
    checks = getattr(source, "checks", Checks())
    found = [reason.rstrip(".") for reason in reasons]
    checks.report(source.name, found, total, "pictures", "unreadable", "Replace or remove them")


def require_room_for_store(folder: Path, encoder: Encoder, source: Source, examples: Sequence[Example]) -> None:
    """Raises UserError unless the features of those `examples` that are not stored yet will find room.

    Every picture is taken to need as much as the first that can be read.
    """
    known: FeatureStore | tuple[()] = ()
    if (folder / "store.json").exists():
        known = FeatureStore(folder).for_pictures(identities(source, encoder, examples))
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
