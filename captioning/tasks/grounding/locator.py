"""A finished model that locates: pictures and phrases in, boxes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from captioning.boxes import Box
from captioning.data.defects import says_something
from captioning.errors import UserError
from captioning.tasks.predictor import Predictor

LONGEST = 10_000  # letters of a phrase, far beyond what any model reads
LEAST = 0.5  # probability of being there at all, below which a phrase means nothing in a picture


@dataclass(frozen=True)
class Location:
    """Where one phrase is in one picture. Prints as its boxes, or as "not there".

    `boxes` are the single things that are meant: none where that is not there. `box` is around all of them, and the
    model's best guess where there are none; its score is the probability that it is right (at an IoU of one half).
    """

    phrase: str
    boxes: tuple[Box, ...]
    box: Box
    there: float  # the probability that what is meant is in the picture
    attention: np.ndarray = field(repr=False, compare=False)  # (N,) how likely each token shows it, from 0 to 1
    places: np.ndarray = field(repr=False, compare=False)  # (N, 4) where the tokens are

    @property
    def found(self) -> bool:
        return bool(self.boxes)

    def to_dict(self, size: tuple[int, int] | None = None) -> dict[str, Any]:
        """As JSON has it; boxes in pixels of a picture of `size` (width, height), or else in [0, 1]."""
        boxes = [box.to_dict(size)["box"] for box in self.boxes]
        best = self.box.to_dict(size)["box"]
        sure = {"score": round(self.box.score, 4), "there": round(self.there, 4)}
        return {"phrase": self.phrase, "boxes": boxes, "best": best, **sure}

    def __str__(self) -> str:
        return "; ".join(map(str, self.boxes)) if self.boxes else f"{self.phrase}: not there ({1 - self.there:.2f})"


class Locator(Predictor):
    """Encoder and grounding on one device.

    >>> captioning.load("flickr8k_grounding").locate("dog.jpg", "the man in red").box
    """

    def locate(self, image: Any, phrases: str | Sequence[str], *, least: float = LEAST) -> Any:
        """Where a phrase is in a picture, or a list of that for a list of phrases, as `Location`s.

        The picture is read and looked at once, whatever the number of phrases. What is less likely there than `least`
        has no boxes. Raises UserError naming the picture that cannot be read, or a phrase without a word.
        """
        asked = [phrases] if isinstance(phrases, str) else list(phrases)
        check_phrases(asked)
        if not 0 <= least <= 1:
            raise UserError(f"least={least}: it is a probability, from 0 to 1")
        seen = self.read(image)
        if isinstance(seen, UserError):
            raise seen
        ((_, memory),) = self.memories([seen])
        with torch.inference_mode():
            context, located = self.task.locate(memory.float(), self.task.ask([asked]).words.to(self.device))
        places = context.places[0].float().cpu()
        real = memory.mask[0].cpu().numpy()
        shown = located.tokens[0].float().sigmoid().cpu().numpy()
        made = []
        for r, phrase in enumerate(asked):
            found = self.task.found(located, places, 0, r)
            boxes = tuple(Box(*corners, phrase, found["score"]) for corners in found["boxes"])
            made.append(
                Location(
                    phrase,
                    boxes if found["there"] >= least else (),
                    Box(*found["box"], phrase, found["score"]),
                    found["there"],
                    shown[r][real],
                    places.numpy()[real],
                )
            )
        return made[0] if isinstance(phrases, str) else made


def check_phrases(phrases: Sequence[str]) -> None:
    """Raises UserError where nothing is asked for, or what is asked for is no phrase."""
    if not phrases:
        raise UserError("no phrase is given. Give one behind the photo, in quotes")
    for one in phrases:
        if not isinstance(one, str) or not says_something(one):
            raise UserError(f"{one!r} is no phrase: it has no word in it")
        if len(one) > LONGEST:
            raise UserError(f"a phrase of {len(one):,} letters is longer than {LONGEST:,}: ask shorter")
