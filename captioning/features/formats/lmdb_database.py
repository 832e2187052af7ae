"""LMDB databases with the bytes of an .npz or .npy file under each id."""

from __future__ import annotations

from pathlib import Path

from captioning.errors import UserError
from captioning.features.formats.base import Features, decoded
from captioning.features.formats.numpy_files import features_in

NOT_IDS = (b"__keys__", b"keys", b"__len__")  # lists of the keys that some programs leave, usually pickled


class Lmdb:
    """Key: id, with or without `.npz`. Value: the bytes of an .npz or .npy file. Never unpickles anything."""

    def __init__(self, path: Path):
        """Opens the database for reading. Raises UserError where it is none, or the reader is not installed."""
        try:
            import lmdb
        except ImportError:
            raise UserError(f"{path}: reading LMDB needs lmdb: pip install 'captioning[features]'") from None
        self.path = path.parent if path.name == "data.mdb" else path
        try:
            self.environment = lmdb.open(
                str(self.path), subdir=self.path.is_dir(), readonly=True, lock=False, readahead=False
            )
        except (lmdb.Error, OSError) as error:
            raise UserError(f"{path} is not a readable LMDB database ({error}). Copy or make it again") from None

    def ids(self) -> list[str]:
        """The keys without extension."""
        with self.environment.begin() as transaction:
            keys = [bytes(key) for key in transaction.cursor().iternext(values=False)]
        return [_stem(key.decode("utf-8", "backslashreplace")) for key in keys if key not in NOT_IDS]

    def read(self, key: str) -> Features:
        """What lies under the key. Raises UserError naming database and id."""
        where = f"{self.path}: {key}"
        with self.environment.begin() as transaction:
            names = (key, f"{key}.npz", f"{key}.npy")
            content = next(filter(None, (transaction.get(name.encode()) for name in names)), None)
        if content is None:
            raise UserError(f"{where}: no such key")
        return decoded(where, lambda: features_in(bytes(content), where))


def _stem(key: str) -> str:
    return key.removesuffix(".npz").removesuffix(".npy")
