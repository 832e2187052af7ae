"""What benchmarks of captioned clips share: official splits, and clips that are found by id in any container."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from captioning.data.file_source import Photos
from captioning.example import Example
from captioning.media.kinds import CLIP_EXTENSIONS


class Clips(Photos):
    """Captioned clips on disk. A subclass says which captions belong to which split.

    `official` maps a split to the number of clips that it has where scores are compared. `folders` are the places
    under the root where the archives put the clips; a clip is known by its name without the extension.
    """

    things = "clips"
    metrics = ("bleu", "meteor", "rouge", "cider")  # SPICE, which reads scene graphs off, was never reported for clips
    official: Mapping[str, int]
    folders: tuple[str, ...] = ("clips", "videos", "")

    def captions(self, split: str) -> Mapping[str, Sequence[str]]:
        """The captions of every clip of a split by the clip's id, in the order of the file."""
        raise NotImplementedError

    def file_names(self, clip_id: str) -> tuple[str, ...]:
        """What the file of a clip may be called, without extension."""
        return (clip_id,)

    def read(self, split: str) -> list[Example]:
        captions = self.captions(split)
        self.checks.official(self.annotations(split), split, len(captions), self.official[split], "clips")
        return [Example(clip_id, self._file(clip_id), tuple(said)) for clip_id, said in captions.items()]

    def _file(self, clip_id: str) -> str:
        names = self.file_names(clip_id)
        found = (self._files[name] for name in names if name in self._files)
        return next(found, posixpath.join(self.folders[0], f"{names[0]}.mp4"))

    @cached_property
    def _files(self) -> dict[str, str]:
        return find_clips(self.root, self.folders)


def find_clips(root: Path, folders: Iterable[str]) -> dict[str, str]:
    """Name without extension -> file from `root`, of all clips in these folders. The first folder, then name, wins."""
    found: dict[str, str] = {}
    for folder in folders:
        try:
            names = sorted(os.listdir(root / folder))
        except OSError:  # not there, or not a folder: its clips will be missed by name
            continue
        for name in names:
            stem, extension = os.path.splitext(name)
            if extension.lower() in CLIP_EXTENSIONS:
                found.setdefault(stem, posixpath.join(folder, name))
    return found
