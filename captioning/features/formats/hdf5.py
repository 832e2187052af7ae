"""HDF5 files of features: a data set or a group named by each picture's id, or one array with a list of ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from captioning.errors import UserError
from captioning.features.formats.base import LARGEST_FILE, Features, decoded, usable

TOKENS = ("features", "feats", "feat")
BOXES = ("boxes", "bbox")
SUFFIX = "_features"
IDS = ("ids", "image_ids", "image_id", "img_ids", "img_id", "video_ids", "names", "filenames", "files")


class Hdf5:
    """Data sets `ID_features` (N, D) and `ID_boxes` (N, 4); or `ID` (N, D); or groups `ID/features` and `ID/boxes`.

    Or one data set `features` (P, N, D), (P, D) or (P, h, w, D) with `ids` (P,), and perhaps `boxes` (P, N, 4).
    """

    def __init__(self, path: Path):
        """Opens the file. Raises UserError where it is no HDF5 file, or the reader is not installed."""
        try:
            import h5py
        except ImportError:
            raise UserError(f"{path}: reading HDF5 needs h5py: pip install 'captioning[features]'") from None
        self.path, self._h5py = path, h5py
        try:
            self.file = h5py.File(path, "r")
            names = list(self.file)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(f"{path} is not a readable HDF5 file ({error}). Copy or make it again") from None
        self._rows = self._of_one_array(names)
        suffixed = [name for name in names if name.endswith(SUFFIX)]
        self._suffixed = bool(suffixed)
        self._ids = list(self._rows) or [name.removesuffix(SUFFIX) for name in suffixed] or names
        if not self._ids:
            raise UserError(f"{path} holds nothing. It should have data sets named ID_features or ID")

    def ids(self) -> list[str]:
        """What the data sets are named after."""
        return list(self._ids)

    def _of_one_array(self, names: list[str]) -> dict[str, int]:
        """Id -> row of `features`, where the file is one array with a list of ids; empty where it is not."""
        listed, array = (next((name for name in known if name in names), None) for known in (IDS, TOKENS))
        if listed is None or array is None:
            return {}
        ids, rows = self._dataset(listed), self._dataset(array)
        if ids is None or rows is None or ids.ndim != 1:
            return {}
        if rows.ndim < 2 or len(ids) != len(rows):
            raise UserError(
                f"{self.path}: {listed} has {len(ids):,} ids and {array} the shape {rows.shape}. There should be one "
                "row of features an id"
            )
        if ids.size * max(ids.dtype.itemsize, 1) > LARGEST_FILE:
            raise UserError(f"{self.path}: {listed} is larger than a list of ids can be")
        spelt = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in ids[()].tolist()]
        found = {key: row for row, key in enumerate(spelt)}
        if len(found) < len(spelt):
            again = next(key for row, key in enumerate(spelt) if found[key] != row)
            raise UserError(f"{self.path}: {listed} names {again} twice. Make the file again")
        return found

    def read(self, key: str) -> Features:
        """One picture's or clip's data sets. Raises UserError naming file and id."""
        where = f"{self.path}: {key}"
        return decoded(where, lambda: self._read(key, where))

    def _read(self, key: str, where: str) -> Features:
        if self._rows:
            row = self._rows.get(key)
            tokens, boxes = (
                next((self._array(name, row) for name in names if name in self.file), None) if row is not None else None
                for names in (TOKENS, BOXES)
            )
        elif self._suffixed:
            tokens = self._array(f"{key}{SUFFIX}")
            boxes = self._first(f"{key}_", BOXES)
        else:
            entry = self.file.get(key)
            grouped = isinstance(entry, self._h5py.Group)
            tokens = self._first(f"{key}/", TOKENS) if grouped else self._array(key)
            boxes = self._first(f"{key}/", BOXES) if grouped else None
        if tokens is None:
            raise UserError(f"{where}: no such data set. It should be named ID_features, ID or ID/features")
        return usable(where, tokens, boxes=boxes)

    def _first(self, prefix: str, names: tuple[str, ...]) -> np.ndarray | None:
        return next((self._array(f"{prefix}{name}") for name in names if f"{prefix}{name}" in self.file), None)

    def _array(self, name: str, row: int | None = None) -> np.ndarray | None:
        entry = self._dataset(name)
        if entry is None:
            return None
        size = entry.size // (1 if row is None else len(entry))
        if size * entry.dtype.itemsize > LARGEST_FILE:
            raise ValueError("larger than a picture's features can be")
        return entry[() if row is None else row]

    def _dataset(self, name: str) -> Any:
        """The data set of a name, of which nothing is read; None where there is none. Raises ValueError for a link."""
        entry: Any = self.file.get(name)
        if not isinstance(entry, self._h5py.Dataset):
            return None
        if not isinstance(self.file.get(name, getlink=True), self._h5py.HardLink) or entry.is_virtual or entry.external:
            raise ValueError("its data lie in another file")
        return entry
