"""Flickr8k (Hodosh, Young and Hockenmaier, JAIR 2013) and Flickr30k (Young et al., TACL 2014), official text files."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from captioning.data.benchmarks.karpathy import Entry, read_splits
from captioning.data.download.archives import Archive, karpathy_splits
from captioning.data.file_source import Photos, photo_folder
from captioning.data.table import Table
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.annotations import read_lines


class Flickr8k(Photos):
    """8,000 photos with five captions each: 6,000 train, 1,000 val (the authors' dev), 1,000 test.

    An example's id is its file name.

    Args:
        root: folder of Flickr8k.token.txt and Flickr_8k.{train,dev,test}Images.txt. The photos are in Images/, in
            Flicker8k_Dataset/ (as the official archive spells it) or in `root` itself.
        on_missing: "error", "skip" or "ignore", see `Photos`.
    """

    name = "flickr8k"
    tokens = "Flickr8k.token.txt"
    lists = {
        "train": "Flickr_8k.trainImages.txt",
        "val": "Flickr_8k.devImages.txt",
        "test": "Flickr_8k.testImages.txt",
    }
    text_archive = "Flickr8k_text.zip"
    photo_archive = "Flickr8k_Dataset.zip"
    official = {"train": 6000, "val": 1000, "test": 1000}
    by_hand = "the authors give Flickr8k_text.zip and Flickr8k_Dataset.zip on request, by a form."
    folders: tuple[str, ...] = ("Images", "Flicker8k_Dataset", "Images/Flicker8k_Dataset", "")

    def __init__(self, root: str | os.PathLike[str] = "data/flickr8k", *, on_missing: str = "error") -> None:
        super().__init__(root, on_missing=on_missing)

    def annotations(self, split: str) -> Path:
        return self.root / self.tokens

    def remedy(self) -> str:
        return f"Unpack {self.photo_archive} into {self.root / self.folders[0]}"

    def read(self, split: str) -> list[Example]:
        names = self.names(split)
        folder = photo_folder(self.root, self.folders, names)
        return [Example(name, posixpath.join(folder, name), tuple(self._captions.get(name, ()))) for name in names]

    def names(self, split: str) -> list[str]:
        """The photos of a split. Raises UserError where the list of the split is not there."""
        read_lines(self.root / self.lists[split], self._text_remedy)
        return [name for name, of in self._split_of.items() if of == split]

    @property
    def _text_remedy(self) -> str:
        return f"Unpack {self.text_archive} into {self.root}, or set data.root."

    @cached_property
    def _captions(self) -> dict[str, list[str]]:
        path = self.root / self.tokens
        lines = read_lines(path, self._text_remedy)
        captions: dict[str, list[str]] = {}
        for key, caption in self.checks.unique(path, _numbered_captions(path, lines), "caption ids").items():
            captions.setdefault(key.rpartition("#")[0], []).append(caption)
        return captions

    @cached_property
    def _split_of(self) -> dict[str, str]:
        """Photo -> split. All lists that are there are read, so that a photo in two splits is found."""
        listed = [
            (line.strip(), split)
            for split, file in self.lists.items()
            if (self.root / file).exists()
            for _, line in read_lines(self.root / file)
        ]
        return self.checks.unique(self.root, listed, "photos of the split lists")


class Flickr30k(Flickr8k):
    """31,014 photos with five captions each: 29,000 train, 1,014 val, 1,000 test by the splits of Karpathy and Li.

    Args:
        root: folder of results_20130124.token, or of results.csv, in which the captions are handed round as well; of
            dataset_flickr30k.json, which says what belongs to which split; and of the photos in flickr30k-images/,
            Images/ or directly.
        on_missing: "error", "skip" or "ignore", see `Photos`.
    """

    name = "flickr30k"
    tokens = "results_20130124.token"
    table = "results.csv"
    splits_file = "dataset_flickr30k.json"
    text_archive = "flickr30k.tar.gz"
    photo_archive = "flickr30k-images.tar"
    official = {"train": 29000, "val": 1014, "test": 1000}
    by_hand = "the authors give flickr30k.tar.gz and flickr30k-images.tar on request, by a form."
    folders = ("flickr30k-images", "flickr30k_images", "Images", "")

    def __init__(self, root: str | os.PathLike[str] = "data/flickr30k", *, on_missing: str = "error") -> None:
        super().__init__(root, on_missing=on_missing)

    @property
    def archives(self) -> tuple[Archive, ...]:
        return karpathy_splits(self.splits_file)

    def annotations(self, split: str) -> Path:
        table = self.root / self.table
        return table if table.is_file() and not (self.root / self.tokens).exists() else self.root / self.tokens

    @cached_property
    def _captions(self) -> dict[str, list[str]]:
        if self.annotations("train").name == self.tokens:
            return super()._captions
        table = Table(self.root / self.table, self.root, on_missing=self.on_missing)
        return {photo.file: photo.captions for photo in table.photos.values()}

    def names(self, split: str) -> list[str]:
        """The photos of a split, by the Karpathy JSON file."""
        return [entry["filename"] for entry in self._splits[split]]

    @cached_property
    def _splits(self) -> dict[str, list[Entry]]:
        return read_splits(self.root / self.splits_file, self.checks)


def _numbered_captions(path: Path, lines: list[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    """("photo.jpg#0", caption) of each line; a line that lost its tab with its caption has an empty one."""
    for number, line in lines:
        key, _, caption = line.partition("\t")
        photo, mark, index = key.strip().rpartition("#")
        if not (photo and mark and index.isdecimal()):
            raise UserError(
                f"{path}, line {number}: expected 'photo.jpg#0', a tab and a caption, found {line[:60]!r}. "
                "Mend the line, or unpack the file again."
            )
        yield key.strip(), caption.strip()
