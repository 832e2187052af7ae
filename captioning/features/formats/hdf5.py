"""HDF5 files of features: `ID_features` with `ID_boxes`, or a data set or a group named by each picture's id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from captioning.errors import UserError
from captioning.features.formats.base import LARGEST_FILE, Features, decoded, usable

TOKENS = ("features", "feats", "feat")
BOXES = ("boxes", "bbox")
SUFFIX = "_features"


class Hdf5:
    """Data sets `ID_features` (N, D) and `ID_boxes` (N, 4); or `ID` (N, D); or groups `ID/features` and `ID/boxes`."""

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
        suffixed = [name for name in names if name.endswith(SUFFIX)]
        self._suffixed = bool(suffixed)
        self._ids = [name.removesuffix(SUFFIX) for name in suffixed] or names
        if not self._ids:
            raise UserError(f"{path} holds nothing. It should have data sets named ID_features or ID")

    def ids(self) -> list[str]:
        """What the data sets are named after."""
        return list(self._ids)

    def read(self, key: str) -> Features:
        """One picture's or clip's data sets. Raises UserError naming file and id."""
        where = f"{self.path}: {key}"
        return decoded(where, lambda: self._read(key, where))

    def _read(self, key: str, where: str) -> Features:
        if self._suffixed:
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

    def _array(self, name: str) -> np.ndarray | None:
        entry: Any = self.file.get(name)
        if not isinstance(entry, self._h5py.Dataset):
            return None
        if not isinstance(self.file.get(name, getlink=True), self._h5py.HardLink) or entry.is_virtual or entry.external:
            raise ValueError("its data lie in another file")
        if entry.size * entry.dtype.itemsize > LARGEST_FILE:
            raise ValueError("larger than a picture's features can be")
        return entry[()]
