"""Flickr30k Entities (Plummer et al., ICCV 2015, arXiv:1505.04870): noun phrases of captions and their boxes."""

from __future__ import annotations

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from captioning.boxes import Corners, as_corners
from captioning.data.file_source import photo_folder
from captioning.data.phrases import Phrase, PhrasedExample, PhrasePhotos
from captioning.errors import UserError
from captioning.files.annotations import read_lines, read_text

KINDS = ("people", "clothing", "bodyparts", "animals", "vehicles", "instruments", "scene", "other")
LISTS = {
    "flickr30k": {"train": "train.txt", "val": "val.txt", "test": "test.txt"},
    "flickr8k": {"train": "flickr8k_train.txt", "val": "flickr8k_dev.txt", "test": "flickr8k_test.txt"},
}
NOT_VISUAL = "0"  # the chain of what cannot be seen
_PHRASE = re.compile(r"\[/EN#(\d+)((?:/[^\s/\]]+)+)\s+([^\]]*)\]")


class Flickr30kEntities(PhrasePhotos):
    """Every phrase of a photo's five captions whose chain of mentions has a box; one for each mention.

    A phrase's id is photo#caption/number in it, `kind` the first of its types. A chain of several things has several
    boxes. Those without a box (the scene as a whole, or what nobody could draw) are left out, as is usual. Captions
    are kept, with their phrases' brackets taken away.

    Args:
        root: folder of Annotations/ and Sentences/, and of the lists of splits.
        photos: folder of the photos; by default one named as usual in `root` or beside it.
        lists: "flickr30k" for the official splits in train.txt, val.txt and test.txt, or "flickr8k" for the photos of
            Flickr8k among them, in flickr8k_{train,dev,test}.txt; or of files with these names of your own.
        absent, on_missing: see `PhrasePhotos` and `Photos`.
    """

    name = "flickr30k_entities"
    by_hand = "annotations.zip is in the repository flickr30k_entities of its authors, the photos are Flickr30k's."
    folders = ("flickr30k-images", "flickr30k_images", "Images", "../flickr30k/flickr30k-images", "../flickr8k/Images")

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/flickr30k_entities",
        *,
        photos: str | os.PathLike[str] | None = None,
        lists: Literal["flickr30k", "flickr8k"] = "flickr30k",
        absent: int = 0,
        on_missing: str = "error",
    ) -> None:
        if lists not in LISTS:
            raise UserError(f"data.lists={lists}: it is {' or '.join(LISTS)}")
        self.folder = Path(root).expanduser()
        self.photos, self.lists = photos, LISTS[lists]
        super().__init__(self.folder if photos is None else photos, absent=absent, on_missing=on_missing)

    def annotations(self, split: str) -> Path:
        return self.folder / self.lists[split]

    def remedy(self) -> str:
        return f"Put the photos into {self.folder / self.folders[0]}, or set data.photos to their folder"

    def read(self, split: str) -> list[PhrasedExample]:
        names = self.names(split)
        folder = "" if self.photos is not None else photo_folder(self.root, self.folders, names)
        return [self._example(name, posixpath.join(folder, name)) for name in names]

    def names(self, split: str) -> list[str]:
        """The files of a split's photos. Official lists hold numbers, of which Flickr30k's files are named."""
        path = self.annotations(split)
        listed = [line.strip() for _, line in read_lines(path, "Put the list there, or set data.root or data.lists.")]
        unique = self.checks.unique(path, ((name, name) for name in listed), "photos")
        return [name if "." in name else f"{name}.jpg" for name in unique]

    def _example(self, name: str, file: str) -> PhrasedExample:
        number = re.match(r"\d*", name)
        if not number or not number[0]:
            raise UserError(f"{self.folder}: the photo {name!r} does not begin with its number. Mend the list.")
        boxes = read_boxes(self.folder / "Annotations" / f"{number[0]}.xml")
        captions, phrases = [], []
        for i, (caption, mentioned) in enumerate(read_sentences(self.folder / "Sentences" / f"{number[0]}.txt")):
            captions.append(caption)
            for j, (chain, kind, text) in enumerate(mentioned):
                if chain != NOT_VISUAL and boxes.get(chain):
                    phrases.append(Phrase(f"{name}#{i}/{j}", text, tuple(boxes[chain]), kind))
        return PhrasedExample(name, file, tuple(captions), phrases=tuple(phrases))

    @cached_property
    def unrelated(self) -> set[tuple[str, int]]:
        """(photo's number, number of a caption from 0) of captions that are not about their photo, by its authors."""
        path = self.folder / "UNRELATED_CAPTIONS"
        if not path.exists():
            return set()
        pairs = (line.split() for _, line in read_lines(path) if not line.startswith("#"))
        return {(pair[0], int(pair[1])) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def read_sentences(path: Path) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """A caption each, without brackets, and what it mentions: (chain, first type, phrase)."""
    found = []
    for number, line in read_lines(path, "Unpack annotations.zip again, or set data.root."):
        mentioned = [(m[1], m[2].split("/")[1], m[3].strip()) for m in _PHRASE.finditer(line)]
        if line.count("[/EN#") != len(mentioned):
            raise UserError(f"{path}, line {number}: a bracket is not as in [/EN#12/people a man]. Mend the line.")
        found.append((_PHRASE.sub(lambda m: m[3].strip(), line).strip(), mentioned))
    return found


def read_boxes(path: Path) -> dict[str, list[Corners]]:
    """The boxes of every chain of an annotation in PASCAL VOC's layout, as corners in [0, 1]. Raises UserError."""
    text = read_text(path, "Unpack annotations.zip again, or set data.root.")
    if "<!" in text:  # entities, of which a few lines stand for gigabytes; the official files have neither
        raise UserError(f"{path} has a declaration, which no annotation has. Unpack annotations.zip again.")
    try:
        document = ElementTree.fromstring(text)
        size = tuple(_number(document.find("size"), side, path) for side in ("width", "height"))
    except ElementTree.ParseError as error:
        raise UserError(f"{path} is not XML: {error}. Unpack annotations.zip again.") from None
    boxes: dict[str, list[Corners]] = defaultdict(list)
    for i, thing in enumerate(document.iter("object")):
        place = thing.find("bndbox")
        if place is not None:
            values = [_number(place, side, path) for side in ("xmin", "ymin", "xmax", "ymax")]
            corners = as_corners(values, "xyxy", (size[0], size[1]), f"{path}, object {i}")
            for name in _texts(thing.iter("name")):
                boxes[name].append(corners)
    return boxes


def _number(within: ElementTree.Element | None, name: str, path: Path) -> float:
    text = within.findtext(name) if within is not None else None
    try:
        return float(text or "")
    except ValueError:
        raise UserError(f"{path}: <{name}> should be a number, found {text!r}. Unpack it again.") from None


def _texts(elements: Iterable[ElementTree.Element]) -> list[str]:
    return [(element.text or "").strip() for element in elements]
