"""Several views of each training photo: crops in other colours, made once, whose features a store can keep."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from captioning.data.file_source import Photos
from captioning.data.source import Source
from captioning.data.wrapped_source import WrappedSource
from captioning.errors import UserError
from captioning.example import Example
from captioning.media.images import image_size

if TYPE_CHECKING:
    from PIL.Image import Image

MARK = "#view"
SHOWN = 0.5  # of a box, without which it is no box of a crop
Box = tuple[float, float, float, float]
AREA = (0.6, 1.0)  # of the photo that a crop keeps
STRETCH = (0.85, 1.18)  # how much wider than the photo a crop is in shape
COLOUR = (0.75, 1.25)  # factors of brightness, contrast and saturation


class Views(WrappedSource):
    """`source`, with each photo of its training split seen `views` times: as it is, then as crops of it.

    A frozen encoder then gives a small data set more than one memory a photo, at the price of running once for each.
    Which crop a view is depends on the photo's id and the number of the view alone; boxes and labels are those of what
    it shows at least half of. Other splits stay as they are. Raises UserError unless `views` is 1 or more.
    """

    def __init__(self, *, source: Source, views: int = 2, on_missing: str | None = None):
        if type(views) is not int or views < 1:
            raise UserError(f"data.views is {views!r}: it is how often each training photo is seen, 1 or more")
        super().__init__(source, on_missing=on_missing)
        self.views = views

    def examples(self, split: str) -> list[Example]:
        """Of the training split every photo `views` times, its further views with ids of their own."""
        found = self.source.examples(split)
        if split != "train":
            return found
        further = [self._view(e, n) for e in found for n in range(1, self.views)]
        return [*found, *further]

    def image(self, example: Example) -> Image:
        seen = self._photo_of(example)
        return self.source.image(example) if seen is None else view(self.source.image(seen[0]), seen[1])

    def fingerprint(self, example: Example) -> str | None:
        """That of the photo and which view of it: a crop follows from both."""
        return self._known(example, self.source.fingerprint)

    def content(self, example: Example) -> str | None:
        return self._known(example, self.source.content)

    def _view(self, photo: Example, number: int) -> Example:
        seen = replace(photo, id=f"{photo.id}{MARK}{number}")
        if not photo.boxes:
            return seen
        width, height = self._size(photo)
        left, top, right, bottom = window((width, height), random.Random(f"{photo.id} {number}"))
        boxes, labels = inside(photo, (left / width, top / height, right / width, bottom / height))
        return replace(seen, boxes=boxes, labels=labels)

    def _size(self, photo: Example) -> tuple[int, int]:
        if isinstance(self.source, Photos):
            return image_size(self.source.root / photo.file)
        return self.source.image(photo).size

    def _photo_of(self, example: Example) -> tuple[Example, str] | None:
        """The photo that an example is a view of, and what the crop follows from; None for a photo as it is."""
        name, mark, number = str(example.id).rpartition(MARK)
        return (self.photos[name], f"{name} {number}") if mark else None

    def _known(self, example: Example, of: Callable[[Example], str | None]) -> str | None:
        seen = self._photo_of(example)
        if seen is None:
            return of(example)
        found = of(seen[0])
        return None if found is None else f"{found} view of {seen[1]}"

    def distinct(self, examples: Sequence[Example]) -> list[Example]:
        """A photo once, however often it is seen: a rare word stays rare."""
        return self.source.distinct([example for example in examples if MARK not in str(example.id)])

    @cached_property
    def photos(self) -> dict[str, Example]:
        """The training photos by how their ids are written."""
        return {str(example.id): example for example in self.source.examples("train")}


def view(picture: Image, seed: str) -> Image:
    """Another look at an RGB picture: a crop of most of it, in other colours."""
    from PIL import ImageEnhance

    dice = random.Random(seed)
    picture = picture.crop(window(picture.size, dice))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(dice.uniform(*COLOUR))
    return picture


def window(size: tuple[int, int], dice: random.Random) -> tuple[int, int, int, int]:
    """What a crop keeps of a picture of this width and height -> left, top, right, bottom in pixels."""
    width, height = size
    area, stretch = dice.uniform(*AREA), dice.uniform(*STRETCH)
    wide = max(1, min(width, round((area * stretch) ** 0.5 * width)))
    high = max(1, min(height, round((area / stretch) ** 0.5 * height)))
    left, top = dice.randint(0, width - wide), dice.randint(0, height - high)
    return left, top, left + wide, top + high


def inside(photo: Example, crop: tuple[float, float, float, float]) -> tuple[tuple[Box, ...], tuple[str, ...]]:
    """Boxes and labels of what a crop, x1 y1 x2 y2 in [0, 1] of the photo, shows at least half of, in [0, 1] of it."""
    left, top, right, bottom = crop
    boxes, labels = [], []
    for (x1, y1, x2, y2), label in zip(photo.boxes, photo.labels, strict=True):
        cut = (max(x1, left), max(y1, top), min(x2, right), min(y2, bottom))
        shown = max(0.0, cut[2] - cut[0]) * max(0.0, cut[3] - cut[1])
        if 0 < shown >= SHOWN * (x2 - x1) * (y2 - y1):
            wide, high = right - left, bottom - top
            boxes.append(((cut[0] - left) / wide, (cut[1] - top) / high, (cut[2] - left) / wide, (cut[3] - top) / high))
            labels.append(label)
    return tuple(boxes), tuple(labels)
