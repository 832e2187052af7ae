"""A finished model that locates: pictures and phrases in, boxes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from captioning.boxes import Box
from captioning.data.defects import says_something
from captioning.errors import UserError
from captioning.tasks.grounding.grounded_captions import GroundedCaption
from captioning.tasks.grounding.location import Location
from captioning.tasks.predictor import Predictor
from captioning.text.noun_phrases import noun_phrases

LONGEST = 10_000  # letters of a phrase, far beyond what any model reads
LEAST = 0.5  # probability of being there at all, below which a phrase means nothing in a picture


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

    def ground(self, image: Any, captions: str | Sequence[str], *, least: float = LEAST) -> Any:
        """A caption of a picture whose noun phrases point at boxes (`GroundedCaption`), or a list of them for a list.

        The picture is looked at once. A phrase that means nothing in it has no boxes. Raises UserError naming the
        picture that cannot be read.
        """
        several = [captions] if isinstance(captions, str) else list(captions)
        phrases = [noun_phrases(caption.split()) for caption in several]
        asked = [phrase.text for those in phrases for phrase in those]
        places = iter(self.locate(image, asked, least=least) if asked else ())
        made = [
            GroundedCaption(caption, tuple(those), tuple(next(places) for _ in those))
            for caption, those in zip(several, phrases, strict=True)
        ]
        return made[0] if isinstance(captions, str) else made


def check_phrases(phrases: Sequence[str]) -> None:
    """Raises UserError where nothing is asked for, or what is asked for is no phrase."""
    if not phrases:
        raise UserError("no phrase is given. Give one behind the photo, in quotes")
    for one in phrases:
        if not isinstance(one, str) or not says_something(one):
            raise UserError(f"{one!r} is no phrase: it has no word in it")
        if len(one) > LONGEST:
            raise UserError(f"a phrase of {len(one):,} letters is longer than {LONGEST:,}: ask shorter")
