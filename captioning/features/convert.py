"""Features that other programs wrote, converted into a store, and training from such a store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from captioning.data.defects import Checks
from captioning.data.source import Source
from captioning.encoders.imported import Imported, configuration
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.foreign_store import open_store
from captioning.features.formats.base import FeatureFile, Features
from captioning.features.formats.numpy_files import ArrayFolder
from captioning.features.formats.open import open_features
from captioning.features.identity import number_of
from captioning.features.store import FeatureStore
from captioning.files.fingerprint import content, fingerprint
from captioning.media.kinds import plain_id
from captioning.memory import VisualMemory

log = logging.getLogger("captioning")

BATCH = 64  # pictures that are written at once
BEYOND = 0.02  # of a side, by which a box may leave its picture
Sizes = Callable[[str], "tuple[float, float] | None"]


@dataclass(frozen=True)
class ImportedFrom:
    """What tells features of one id from others: the files that hold them. Stands where a picture's `Identity` does."""

    file: FeatureFile
    key: str

    @property
    def place(self) -> int:
        """64 bits of the files' places, sizes and times of change."""
        return number_of(" ".join(filter(None, map(fingerprint, self._paths()))))

    @property
    def content(self) -> int:
        """64 bits of small files' bytes; of one that holds all pictures the name, size and time of change alone."""
        if isinstance(self.file, ArrayFolder):
            return number_of(" ".join(filter(None, map(content, self._paths()))))
        seen = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in self._paths() if path.exists()]
        return number_of(f"{seen} {self.key}")

    def _paths(self) -> list[Path]:
        if isinstance(self.file, ArrayFolder):
            return self.file.paths(self.key)
        data = self.file.path / "data.mdb"  # beside which a lock lies that changes whenever somebody looks
        return [data if data.exists() else self.file.path]


def import_features(
    path: str | Path,
    folder: str | Path,
    *,
    name: str = "imported",
    boxes: bool = True,
    sizes: Sizes = lambda key: None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FeatureStore, dict[str, UserError]]:
    """Adds what the store does not hold yet of the features at `path`. -> the store, and what is wrong by id.

    `sizes` says how large a picture is where the file does not. Raises UserError where the file as a whole cannot be
    imported, or the store is another's.
    """
    file = open_features(path)
    ids = _distinct(file)
    known = {key: ImportedFrom(file, key) for key in ids}
    store = FeatureStore(folder).for_pictures(known) if (Path(folder) / "store.json").exists() else None
    todo = ids if store is None else store.missing(ids)
    failures: dict[str, UserError] = {}
    for start in range(0, len(todo), BATCH):
        good: dict[str, Features] = {}
        for key in todo[start : start + BATCH]:
            try:
                found = file.read(key)
                found = _normalised(found, f"{path}: {key}", key, sizes) if boxes else _without_boxes(found)
                store = _created(folder, found, name).for_pictures(known) if store is None else store
                _fits(found, store, f"{path}: {key}")
                good[key] = found
            except UserError as error:
                failures[key] = error
        if good:
            store = store.made_by(*_maker(store.width, name))
            store.append(list(good), _memory(list(good.values())), known)
        if progress:
            progress(len(ids) - len(todo) + min(start + BATCH, len(todo)), len(ids))
    if store is None:
        raise UserError(f"none of {len(ids):,} could be imported, the first for this reason: {failures[ids[0]]}")
    return store.close().made_by(*_maker(store.width, name)), failures


def described(encoder: DictConfig, where: str | None) -> DictConfig:
    """An encoder's configuration; that of imported features with what the store at `where` says of them."""
    if encoder.get("_target_") != configuration(1, "")["_target_"] or where in (None, "auto"):
        return encoder
    about = open_store(where).about
    if not about.get("imported"):
        raise UserError(
            f"{where} holds features of an encoder of its own, not imported ones: leave encoder=imported out"
        )
    known = {key: about["encoder"].get(key) for key in ("width", "name")}
    given = {key: value for key, value in encoder.items() if value is not None}
    return OmegaConf.create({**known, **given})


def imported_store(
    where: str | None, source: Source, encoder: Imported, config: dict, examples: Sequence[Example]
) -> tuple[FeatureStore, set[int | str]]:
    """The store at `where`, and the ids of the examples that it has features of; the others are an error or left out,
    as the source is told to.
    """
    if where in (None, "auto"):
        raise UserError("a model of imported features needs store=DIR, which `captioning extract import=PATH` makes")
    store = open_store(where).made_by(config, encoder.digest(config))
    first: dict[str, int | str] = {}
    for example in examples:
        other = first.setdefault(plain_id(example.id), example.id)
        if other != example.id:
            raise UserError(f"{source.name}: {other!r} and {example.id!r} would get the same imported features")
    absent = store.missing([example.id for example in examples])
    if len(absent) == len(examples) and len(store):
        raise UserError(
            f"{where} has features of none of {len(examples):,} pictures of {source.name}: its ids are like "
            f"{store.ids()[0]!r}, those of {source.name} like {absent[0]!r}"
        )
    checks = getattr(source, "checks", Checks())
    remedy = f"Add them with captioning extract import=PATH store={where}"
    checks.report(source.name, [repr(key) for key in absent], len(examples), "pictures", f"not in {where}", remedy)
    return store, {example.id for example in examples} - set(absent)


def _maker(width: int, name: str) -> tuple[dict, str]:
    config = configuration(width, name)
    return config, Imported(width=width, name=name).digest(config)


def _created(folder: str | Path, found: Features, name: str) -> FeatureStore:
    config, digest = _maker(found.tokens.shape[1], name)
    columns = ["tokens", "pooled", *(key for key in ("boxes", "classes", "scores") if getattr(found, key) is not None)]
    return FeatureStore.create(
        folder, encoder=config, digest=digest, width=config["width"], columns=columns, imported=True
    )


def _distinct(file: FeatureFile) -> list[str]:
    ids, seen = file.ids(), {}
    for key in ids:
        other = seen.setdefault(plain_id(key), key)
        if other != key:
            raise UserError(f"{file.path}: {other} and {key} are spellings of one picture. Keep one of them")
    return ids


def _fits(found: Features, store: FeatureStore, where: str) -> None:
    width = found.tokens.shape[1]
    if width != store.width:
        raise UserError(f"{where}: {width} values a token, where {store.folder} has {store.width}")
    lacks = [name for name in store.columns if name not in ("tokens", "pooled") and getattr(found, name, None) is None]
    if lacks:
        raise UserError(f"{where}: no {lacks[0]}, which the others in {store.folder} have. Leave them out: boxes=false")


def _without_boxes(found: Features) -> Features:
    return Features(found.tokens, found.pooled)


def _normalised(found: Features, where: str, key: str, sizes: Sizes) -> Features:
    """The same with boxes in [0, 1]."""
    if found.boxes is None:
        return found
    boxes = found.boxes
    if boxes.max() > 1 + BEYOND:  # pixels: no picture has all its regions within the first
        try:
            size, reason = found.size or sizes(key), "no such picture is in data"
        except UserError as error:
            size, reason = None, str(error).rstrip(".")
        if size is None:
            raise UserError(
                f"{where}: its boxes are in pixels and nothing says how large the picture is ({reason}). Name the "
                f"photos with data=NAME, or leave the boxes out with boxes=false"
            )
        boxes = boxes / np.array([*size, *size], np.float32)
    if boxes.min() < -BEYOND or boxes.max() > 1 + BEYOND or (boxes[:, :2] > boxes[:, 2:]).any():
        raise UserError(
            f"{where}: a box that is no x1 y1 x2 y2 inside its picture: {found.boxes[0].tolist()} the first"
        )
    return Features(found.tokens, found.pooled, boxes.clip(0, 1), found.size, found.classes, found.scores)


def _memory(pictures: Sequence[Features]) -> VisualMemory:
    """A batch, padded to the longest."""

    def one(found: Features) -> VisualMemory:
        pooled = found.tokens.mean(0) if found.pooled is None else found.pooled
        extra: dict[str, Any] = {name: getattr(found, name) for name in ("boxes", "classes", "scores")}
        tensors = {"tokens": found.tokens, "pooled": pooled, **{k: v for k, v in extra.items() if v is not None}}
        parts = {name: torch.tensor(array)[None] for name, array in tensors.items()}
        return VisualMemory(mask=torch.ones(1, len(found.tokens), dtype=torch.bool), **parts)

    return VisualMemory.stack([one(found) for found in pictures])
