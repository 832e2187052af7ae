"""A feature store: what an encoder returned for many pictures, kept on disk. It is only a cache.

A picture is known by its id and by what tells it from others of that id (see identity.py): a store may hold several
of one id, of which `for_pictures` says which is meant.

A folder with store.json, which says what made it, and any number of parts, each written by one process (see
store_part.py). Readers see one store. Several processes or machines may fill one at the same time: each has a part
of its own, and a picture that two of them computed counts once.

Indices are memory-mapped. Values are read from their place in the file straight into the batch, which is as fast as
a map, shares the system's page cache between all readers just as well, and makes of a file that was cut short or a
failing disk an error instead of a crash.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from captioning.errors import UserError
from captioning.features.identity import UNKNOWN, Known
from captioning.features.store_part import COLUMNS, Part, PartWriter, key_of
from captioning.files.atomic import write_whole
from captioning.media.kinds import plain_id
from captioning.memory import VisualMemory

LARGEST = float(np.finfo(np.float16).max)
# 1 had a single part, in the store's own folder, with its index in JSON lines; 2 did not say what its pictures were.
VERSIONS = (1, 2, 3)
WANTED = np.dtype([("key", "<u8"), ("place", "<u8"), ("content", "<u8")])
OPEN_FILES = 128  # at once, of which a process may have some hundreds


class FeatureStore:
    """Memories by id. Opens in milliseconds, holds no tensors, shares its pages between worker processes."""

    def __init__(self, folder: str | Path):
        """Opens an existing store. Raises UserError naming the file where it is not a whole one."""
        self.folder = Path(folder)
        self.about = _read_about(self.folder)
        self.width: int = self.about["width"]
        self.columns: list[str] = self.about["columns"]
        self.imported = bool(self.about.get("imported"))
        self._writer: PartWriter | None = None
        self._files: dict[Path, BinaryIO] = {}
        self._wanted: np.ndarray | None = None
        self.refresh()

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        encoder: dict,
        digest: str,
        width: int,
        columns: Sequence[str],
        imported: bool = False,
        precision: str = "32",
    ) -> FeatureStore:
        """An empty store for memories with these columns. An existing one by the same encoder is opened instead.

        In an `imported` one ids are the same picture where `plain_id` says so.
        """
        folder = Path(folder)
        if not (folder / "store.json").exists():
            about = {"version": VERSIONS[-1], "encoder": encoder, "digest": digest, "width": width}
            about |= {"columns": [name for name in COLUMNS if name in columns], "imported": imported}
            about |= {} if precision == "32" else {"precision": precision}
            _write_once(folder / "store.json", json.dumps(about, indent=2) + "\n")
        return cls(folder).made_by(encoder, digest)

    def made_by(self, encoder: dict, digest: str) -> FeatureStore:
        """Itself. Raises UserError with both names where another encoder made it."""
        if self.about["digest"] != digest:
            theirs, ours = _name(self.about["encoder"]), _name(encoder)
            raise UserError(
                f"{self.folder} holds features of {theirs} ({self.about['digest'][:12]}), not of {ours} "
                f"({digest[:12]}). Choose another folder with store=DIR, or delete this one."
            )
        return self

    def refresh(self) -> FeatureStore:
        """Looks again for what other processes have written. -> itself."""
        folders = sorted(path.parent for path in self.folder.glob("part-*/index.bin"))
        if (self.folder / "index.jsonl").exists() or self.about["version"] == 1:
            folders.insert(0, self.folder)
        self.parts = [Part(folder, self.width, self.columns) for folder in folders]
        self._starts = np.cumsum([0, *map(len, self.parts)])
        keys = np.concatenate([np.empty(0, np.uint64), *(part.records["key"] for part in self.parts)])
        fit = self._fit(keys)
        order = np.lexsort((-np.arange(len(keys)), -fit, keys))  # of those with the same id the best fit, then the last
        order = order[fit[order] > 0]
        first = np.r_[True, keys[order][1:] != keys[order][:-1]][: len(order)]
        self._order = order[first].astype(np.uint32)
        self._keys = keys[self._order]
        self._verified = np.zeros(len(keys), bool)
        self._stale = False
        return self

    def __len__(self) -> int:
        self._fresh()
        return len(self._keys)

    def __contains__(self, key: int | str) -> bool:
        return not self.missing([key])

    def __reduce__(self) -> tuple:
        return _opened, (self.folder, self._wanted)  # a worker that is not a fork opens it again

    def for_pictures(self, pictures: Mapping[int | str, Known]) -> FeatureStore:
        """From now on an id of `pictures` means that very picture; others under its id count as missing. -> itself

        A picture that lies elsewhere than the one that was stored, or was touched, is compared by its content. What a
        store of the first versions holds, and a picture that is not there, cannot be compared and is believed.
        """
        wanted = np.zeros(len(pictures), WANTED)
        wanted["key"] = [key_of(self._text(key)) for key in pictures]
        wanted["place"] = [identity.place for identity in pictures.values()]
        known = list(pictures.values())
        order = np.argsort(wanted["key"], kind="stable")
        self._wanted = wanted[order]
        self.refresh()
        if len(self.parts):
            doubtful = self._doubtful()
            with ThreadPoolExecutor() as pool:
                contents = list(pool.map(lambda at: known[order[at]].content, doubtful.tolist()))
            self._wanted["content"][doubtful] = contents
            if len(doubtful):
                self.refresh()
        return self

    def outdated(self) -> int:
        """How many ids of `for_pictures` the store has features of, but of other pictures."""
        return len(self._doubtful())

    def missing(self, ids: Iterable[int | str]) -> list[int | str]:
        """Those of `ids` that are not in the store, in order."""
        ids = list(ids)
        return [key for key, at in zip(ids, self._find(map(self._text, ids)), strict=True) if at < 0]

    def ids(self) -> list[int | str]:
        """All ids, in the order in which they were written; of an imported store as `plain_id` spells them."""
        self._fresh()
        return [json.loads(part.text(i)) for part, i in map(self._part, np.sort(self._order).tolist())]

    def read(self, ids: Sequence[int | str]) -> VisualMemory:
        """The memories of `ids` as one batch, float16, padded to the longest.

        Compares each picture with its checksum when it is first read. Raises UserError for one that is not there, or
        is damaged.
        """
        texts = [self._text(key) for key in ids]
        found = self._find(texts)
        if (found < 0).any():
            absent = [key for key, at in zip(ids, found, strict=True) if at < 0]
            raise UserError(f"{self.folder} holds no features for {len(absent)} pictures, the first is {absent[0]!r}")
        places = [self._part(at) for at in found.tolist()]
        counts = np.array([part.records["tokens"][i] for part, i in places], np.int64)
        batch, longest = len(ids), int(counts.max())
        shapes = {name: (batch, longest) for name in self.columns}
        shapes |= {"tokens": (batch, longest, self.width), "pooled": (batch, self.width), "boxes": (batch, longest, 4)}
        arrays = {name: np.zeros(shapes[name], COLUMNS[name]) for name in self.columns}
        for b, (part, i) in enumerate(places):
            values = {name: array[b] if name == "pooled" else array[b, : counts[b]] for name, array in arrays.items()}
            self._read_into(values, part, i)
            if not self._verified[found[b]]:
                if not part.intact(i, texts[b], values):
                    raise UserError(
                        f"{part.folder}: the features of picture {ids[b]!r} are damaged. See what else is with "
                        f"`captioning extract store={self.folder} check=true`, delete that folder and extract again"
                    )
                if (name := no_numbers(values)) is not None:
                    raise UserError(
                        f"{part.folder}: the {name} of picture {ids[b]!r} hold values that are no numbers. Delete that "
                        f"folder and extract again, with an encoder that gives numbers"
                    )
                self._verified[found[b]] = True
        parts = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if "classes" in parts:
            parts["classes"] = parts["classes"].long()
        return VisualMemory(mask=torch.from_numpy(np.arange(longest) < counts[:, None]), **parts)

    def append(
        self, ids: Sequence[int | str], memory: VisualMemory, known: Mapping[int | str, Known] | None = None
    ) -> None:
        """Adds a batch to this process's part; `known` tells which pictures they are. Raises UserError where it
        cannot be written.
        """
        arrays = {name: _array(getattr(memory, name), name) for name in self.columns}
        masks = memory.mask.cpu().numpy()
        empty = [key for key, mask in zip(ids, masks, strict=True) if not mask.any()]
        if empty:
            raise UserError(f"the encoder returned no token for picture {empty[0]!r}, so nothing could look at it")
        values = [
            {name: array[b] if name == "pooled" else array[b][masks[b]] for name, array in arrays.items()}
            for b in range(len(ids))
        ]
        for key, picture in zip(ids, values, strict=True):
            if (name := no_numbers(picture)) is not None:
                raise UserError(f"the {name} of picture {key!r} hold values that are no numbers")
        self._writer = self._writer or PartWriter(self.folder, self.width, self.columns)
        origins = known and [(known[key].place, known[key].content) for key in ids]
        self._writer.append([self._text(key) for key in ids], values, origins)
        self._stale = True

    def close(self) -> FeatureStore:
        """Ends writing: the next `append` begins a new part. Raises UserError where the disk lacks it. -> itself"""
        writer, self._writer = self._writer, None
        if writer:
            writer.close()
        return self

    def damaged(self) -> dict[int | str, Path]:
        """Ids whose values no longer fit their checksum or are no numbers, and the part of each. Reads all once."""
        self._fresh()
        wrong: dict[int | str, Path] = {}
        for at in range(int(self._starts[-1])):
            part, i = self._part(at)
            count, text = int(part.records["tokens"][i]), part.text(i)
            shapes = {name: (count,) for name in self.columns} | {"pooled": (self.width,)}
            shapes |= {"tokens": (count, self.width), "boxes": (count, 4)}
            values = {name: np.empty(shapes[name], COLUMNS[name]) for name in self.columns}
            self._read_into(values, part, i)
            if not part.intact(i, text, values) or no_numbers(values) is not None:
                wrong[_id_in(text, f"number {i + 1} of {part.folder.name}")] = part.folder
        for part in self.parts:
            if part.torn:
                wrong[f"the last {part.torn} of {part.folder.name}/index.bin"] = part.folder
        return wrong

    def _fit(self, keys: np.ndarray) -> np.ndarray:
        """How well each row fits what is wanted: 2 that very picture, 1 believed, 0 another picture."""
        fit = np.ones(len(keys), np.int8)
        wanted = self._wanted
        if wanted is None or not len(wanted) or not len(keys):
            return fit
        origins = np.concatenate([part.origins() for part in self.parts])
        mine = wanted[np.minimum(np.searchsorted(wanted["key"], keys), len(wanted) - 1)]
        asked = (mine["key"] == keys) & (mine["place"] != UNKNOWN) & (origins["place"] != UNKNOWN)
        same = (mine["place"] == origins["place"]) | (
            (mine["content"] == origins["content"]) & (origins["content"] != UNKNOWN)
        )
        fit[asked] = np.where(same[asked], 2, 0)
        return fit

    def _doubtful(self) -> np.ndarray:
        """Where in what is wanted those are whose id is there, of other pictures alone."""
        keys = np.concatenate([np.empty(0, np.uint64), *(part.records["key"] for part in self.parts)])
        absent = ~np.isin(self._wanted["key"], self._keys)
        return np.flatnonzero(absent & np.isin(self._wanted["key"], keys))

    def _fresh(self) -> None:
        if self._stale:
            self.refresh()

    def _text(self, key: int | str) -> bytes:
        return json.dumps(plain_id(key) if self.imported else key).encode()

    def _find(self, texts: Iterable[bytes]) -> np.ndarray:
        """Where in the store each id is, -1 for nowhere."""
        self._fresh()
        keys = np.array([key_of(text) for text in texts], np.uint64)
        if not len(self._keys):
            return np.full(len(keys), -1)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[at] == keys, self._order[at].astype(np.int64), -1)

    def _part(self, at: int) -> tuple[Part, int]:
        number = int(np.searchsorted(self._starts, at, side="right")) - 1
        return self.parts[number], at - int(self._starts[number])

    def _read_into(self, values: dict[str, np.ndarray], part: Part, i: int) -> None:
        for name, array in values.items():
            path, start = part.place(name, i)
            try:
                there = os.preadv(self._open(path).fileno(), [array], start)
            except OSError as error:
                raise UserError(f"{path} cannot be read ({error.strerror})") from None
            if there != array.nbytes:
                raise UserError(f"{path} is shorter than its index says: delete {part.folder} and extract again")

    def _open(self, path: Path) -> BinaryIO:
        if path not in self._files:
            while len(self._files) >= OPEN_FILES:
                self._files.pop(next(iter(self._files))).close()
            self._files[path] = path.open("rb", buffering=0)
        return self._files[path]


def _opened(folder: Path, wanted: np.ndarray | None) -> FeatureStore:
    store = FeatureStore(folder)
    store._wanted = wanted
    return store.refresh()


def _array(tensor: Tensor, name: str) -> np.ndarray:
    tensor = tensor.detach()
    if COLUMNS[name] == np.float16:
        full = tensor.float()
        tensor = full.clamp(-LARGEST, LARGEST).half()
        if (infinite := full.isinf()).any():  # no large number, but none
            tensor[infinite] = torch.inf
    return np.ascontiguousarray(tensor.cpu().numpy(), COLUMNS[name])


def no_numbers(values: Mapping[str, np.ndarray]) -> str | None:
    """The first column of a picture that holds something else than finite numbers."""
    for name, array in values.items():
        if array.dtype == np.float16:
            if ((array.view(np.uint16) & 0x7C00) == 0x7C00).any():  # all bits of the exponent: several times as fast
                return name
        elif array.dtype.kind == "f" and not np.isfinite(array).all():
            return name
    return None


def _name(encoder: dict) -> str:
    return str(encoder.get("backbone") or encoder.get("name") or encoder.get("_target_", "an unnamed encoder"))


def _id_in(text: bytes, otherwise: str) -> int | str:
    with suppress(ValueError, RecursionError):
        key = json.loads(text)
        if isinstance(key, (int, str)):
            return key
    return otherwise


def _write_once(path: Path, text: str) -> None:
    """Writes a file whole, unless another process was faster: then it is that one's."""
    draft = write_whole(path.with_name(f".{path.name}.{secrets.token_hex(4)}"), text)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(draft, path)
    with suppress(OSError):
        draft.unlink()


def _read_about(folder: Path) -> dict:
    path = folder / "store.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if type(about["version"]) is int and about["version"] > VERSIONS[-1]:
            raise ValueError(f"it is of version {about['version']}: pip install -U captioning")
        known = about["version"] in VERSIONS and type(about["width"]) is int and isinstance(about["digest"], str)
        known = known and isinstance(about["encoder"], dict) and about["width"] > 0
        if not known or not set(about["columns"]) <= set(COLUMNS) or not {"tokens", "pooled"} <= set(about["columns"]):
            raise ValueError("an unknown version or layout")
        return about
    except FileNotFoundError:
        raise UserError(
            f"{folder} is not a feature store: it has no store.json. `captioning extract` makes one, and "
            f"`captioning extract import={folder} store=DIR` makes one of features that are there already"
        ) from None
    except NotADirectoryError:
        raise UserError(
            f"{folder} is a file, not a feature store: `captioning extract import={folder} store=DIR` makes one of it"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is not the description of a feature store: {error}") from None
