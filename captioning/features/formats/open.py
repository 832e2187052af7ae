"""Opens others' features, whatever their format."""

from __future__ import annotations

import os
import re
from pathlib import Path

from captioning.errors import UserError
from captioning.features.formats.base import FeatureFile


def open_features(path: str | os.PathLike[str]) -> FeatureFile:
    """What reads the file or folder at `path`. Raises UserError where that is no kind that is known."""
    path = Path(path).expanduser()
    if not path.exists():
        raise UserError(f"{path} does not exist. Name the features to import")
    name = path.name.lower()
    if re.search(r"\.tsv(\.\d+)?$", name):
        from captioning.features.formats.bottom_up_tsv import BottomUpTsv

        return BottomUpTsv(path)
    if name.endswith((".h5", ".hdf5", ".hdf")):
        from captioning.features.formats.hdf5 import Hdf5

        return Hdf5(path)
    if name.endswith((".lmdb", ".mdb")) or (path / "data.mdb").exists():
        from captioning.features.formats.lmdb_database import Lmdb

        return Lmdb(path)
    if path.is_dir():
        from captioning.features.formats.numpy_files import ArrayFolder

        return ArrayFolder(path)
    packed = " Unpack it first." if name.endswith((".zip", ".gz", ".tar", ".tgz")) else ""
    raise UserError(f"{path} is no .tsv, .h5, .lmdb or folder of .npz or .npy files, which can be imported.{packed}")
