"""Captions without photos beside a source of photos: training then learns from both."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from captioning.data.source import Source
from captioning.data.wrapped_source import WrappedSource
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.annotations import read_lines


class WithoutPhotos(WrappedSource):
    """`source`, whose training split also has examples with captions and no photo: their `file` is empty.

    `texts` are JSONL files, each line {"id": ..., "captions": [...]} of one photo that nobody needs to have. Their ids
    are those of the file after its name. Other splits stay as they are.
    """

    has_texts = True

    def __init__(self, *, source: Source, texts: Sequence[str | os.PathLike[str]], on_missing: str | None = None):
        super().__init__(source, on_missing=on_missing)
        self.files = [Path(file).expanduser() for file in texts]
        if not self.files:
            raise UserError("data.texts names no file: give one or more, or leave out data=..._and_texts")

    def examples(self, split: str) -> list[Example]:
        found = self.source.examples(split)
        if split != "train":
            return found
        return [*found, *(example for file in self.files for example in read_texts(file))]

    def distinct(self, examples: Sequence[Example]) -> list[Example]:
        photos = self.source.distinct([example for example in examples if example.file])
        return [*photos, *(example for example in examples if not example.file)]

    def readable(self, examples: Sequence[Example], *, decode: bool = False) -> list[Example]:
        """Those without a photo, and the others as the source finds them."""
        found = {example.id for example in self.source.readable([e for e in examples if e.file], decode=decode)}
        return [example for example in examples if not example.file or example.id in found]


def read_texts(path: Path) -> list[Example]:
    """The examples of a file of captions without photos. Raises UserError naming the line that is none."""
    examples = []
    for number, line in read_lines(path, "Name a JSONL file with an id and captions in each line."):
        try:
            content = json.loads(line)
            key, captions = content["id"], content["captions"]
        except (ValueError, KeyError, TypeError):
            key = captions = None
        fits = isinstance(key, (int, str)) and isinstance(captions, list) and captions
        if not fits or not all(isinstance(text, str) and text.strip() for text in captions):
            raise UserError(f'{path}, line {number}: expected {{"id": ..., "captions": ["...", ...]}}, not {line[:60]}')
        examples.append(Example(f"{path.stem}:{key}", "", tuple(captions)))
    return examples
