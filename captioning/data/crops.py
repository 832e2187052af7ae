"""Several views of each training photo: crops in other colours, made once, whose features a store can keep."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example

if TYPE_CHECKING:
    from PIL.Image import Image

MARK = "#view"
AREA = (0.6, 1.0)  # of the photo that a crop keeps
STRETCH = (0.85, 1.18)  # how much wider than the photo a crop is in shape
COLOUR = (0.75, 1.25)  # factors of brightness, contrast and saturation


class Views(Source):
    """`source`, with each photo of its training split seen `views` times: as it is, then as crops of it.

    A frozen encoder then gives a small data set more than one memory a photo, at the price of running once for each.
    Which crop a view is depends on the photo's id and the number of the view alone. Other splits stay as they are.
    Raises UserError unless `views` is 1 or more.
    """

    def __init__(self, *, source: Source, views: int = 2):
        if type(views) is not int or views < 1:
            raise UserError(f"data.views is {views!r}: it is how often each training photo is seen, 1 or more")
        self.source, self.views = source, views
        self.name, self.splits, self.metrics = source.name, source.splits, source.metrics
        self.official: Mapping[str, int] = {}  # counts of photos, which no longer are those of examples

    def examples(self, split: str) -> list[Example]:
        """Of the training split every photo `views` times, its further views with ids of their own."""
        found = self.source.examples(split)
        if split != "train":
            return found
        further = [replace(e, id=f"{e.id}{MARK}{n}") for e in found for n in range(1, self.views)]
        return [*found, *further]

    def image(self, example: Example) -> Image:
        name, mark, number = str(example.id).rpartition(MARK)
        if not mark:
            return self.source.image(example)
        photo = replace(example, id=self.photo_ids[name])
        return view(self.source.image(photo), f"{name} {number}")

    def place(self) -> str:
        return self.source.place()

    def fingerprint(self, example: Example) -> str | None:
        """That of the photo and which view of it: a crop follows from both."""
        return self._of_photo(example, self.source.fingerprint)

    def content(self, example: Example) -> str | None:
        return self._of_photo(example, self.source.content)

    def _of_photo(self, example: Example, known: Callable[[Example], str | None]) -> str | None:
        name, mark, number = str(example.id).rpartition(MARK)
        if not mark:
            return known(example)
        found = known(replace(example, id=self.photo_ids[name]))
        return None if found is None else f"{found} view {number} of {name}"

    def distinct(self, examples: Sequence[Example]) -> list[Example]:
        """A photo once, however often it is seen: a rare word stays rare."""
        return self.source.distinct([example for example in examples if MARK not in str(example.id)])

    @cached_property
    def photo_ids(self) -> dict[str, int | str]:
        """Ids of the training photos by how they are written."""
        return {str(example.id): example.id for example in self.source.examples("train")}

    def readable(self, examples: Sequence[Example], *, decode: bool = False) -> list[Example]:
        """As the source finds it: a view is read from its photo's file."""
        return self.source.readable(examples, decode=decode)


def view(picture: Image, seed: str) -> Image:
    """Another look at an RGB picture: a crop of most of it, in other colours."""
    from PIL import ImageEnhance

    dice = random.Random(seed)
    width, height = picture.size
    area, stretch = dice.uniform(*AREA), dice.uniform(*STRETCH)
    wide = max(1, min(width, round((area * stretch) ** 0.5 * width)))
    high = max(1, min(height, round((area / stretch) ** 0.5 * height)))
    left, top = dice.randint(0, width - wide), dice.randint(0, height - high)
    picture = picture.crop((left, top, left + wide, top + high))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        picture = enhance(picture).enhance(dice.uniform(*COLOUR))
    return picture
