"""Features that others computed, read where they lie: a folder with an .npy or .npz file a clip, or an HDF5 file.

Nothing is copied, so what a store would keep in half precision and with checksums is taken as it is. Of a clip the
rows of its (F, D) array are its frames, in order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import torch

from captioning.encoders.imported import Imported, configuration
from captioning.errors import UserError
from captioning.features.formats.base import FeatureFile
from captioning.features.formats.open import open_features
from captioning.features.store import FeatureStore
from captioning.media.kinds import plain_id
from captioning.memory import VisualMemory


class FeaturesInPlace:
    """Has what training and evaluation ask of a `FeatureStore`, for files of other programs.

    Frames whose times nobody wrote down have the times 0, 1, 2, ...: a model that looks at times learns their order.
    """

    columns = ("tokens", "pooled", "times")

    def __init__(self, path: str | os.PathLike[str], *, name: str = "imported"):
        """Lists what is there. Raises UserError where that is no kind of file that is known, or empty."""
        self.folder, self.name = Path(path), name
        self._opened: dict[int, FeatureFile] = {}
        first = next(iter(self._spellings.values()))
        self.width = self._file.read(first).tokens.shape[1]
        config = configuration(self.width, name)
        digest = Imported(width=self.width, name=name).digest(config)
        self.about = {"encoder": config, "digest": digest, "width": self.width, "imported": True}

    def made_by(self, encoder: dict, digest: str) -> FeaturesInPlace:
        """Itself. Raises UserError where a model wants features of another width or name."""
        if self.about["digest"] != digest:
            raise UserError(
                f"{self.folder} holds features of {self.width} values called {self.name!r}, not the "
                f"{encoder.get('width')} called {encoder.get('name')!r} that the model knows. Name others with store="
            )
        return self

    def __len__(self) -> int:
        return len(self._spellings)

    def __contains__(self, key: int | str) -> bool:
        return plain_id(key) in self._spellings

    def ids(self) -> list[str]:
        """What the clips are called there."""
        return list(self._spellings.values())

    def missing(self, ids: Iterable[int | str]) -> list[int | str]:
        """Those of `ids` that have no features here, in order."""
        return [key for key in ids if key not in self]

    def read(self, ids: Sequence[int | str]) -> VisualMemory:
        """The memories of `ids` as one batch, padded to the longest. Raises UserError naming the file and the id."""
        absent = self.missing(ids)
        if absent:
            raise UserError(f"{self.folder} holds no features for {len(absent)} clips, the first is {absent[0]!r}")
        return VisualMemory.stack([self._memory(self._spellings[plain_id(key)]) for key in ids])

    def _memory(self, key: str) -> VisualMemory:
        found = self._file.read(key)
        frames, width = found.tokens.shape
        if width != self.width:
            raise UserError(f"{self.folder}: {key} has {width} values a frame, the others have {self.width}")
        tokens = torch.from_numpy(found.tokens)
        pooled = tokens.mean(0) if found.pooled is None else torch.from_numpy(found.pooled)
        mask = torch.ones(1, frames, dtype=torch.bool)
        return VisualMemory(tokens[None], mask, pooled[None], times=torch.arange(frames, dtype=torch.float32)[None])

    @cached_property
    def _spellings(self) -> dict[str, str]:
        """The spelling of an id that counts -> the one in the file."""
        spellings: dict[str, str] = {}
        for key in self._file.ids():
            other = spellings.setdefault(plain_id(key), key)
            if other != key:
                raise UserError(f"{self.folder}: {other} and {key} are spellings of one clip. Keep one of them")
        return spellings

    @property
    def _file(self) -> FeatureFile:
        """The file, opened once in each process: an open HDF5 file does not survive being inherited."""
        if os.getpid() not in self._opened:
            self._opened = {os.getpid(): open_features(self.folder)}
        return self._opened[os.getpid()]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_opened": {}}


def open_store(where: str | os.PathLike[str]) -> FeatureStore | FeaturesInPlace:
    """The store in a folder, or else the features that lie there. Raises UserError where there is neither."""
    if (Path(where) / "store.json").exists() or not Path(where).exists():
        return FeatureStore(where)
    return FeaturesInPlace(where)
