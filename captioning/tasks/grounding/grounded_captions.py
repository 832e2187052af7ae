"""Captions whose words point at boxes: each noun phrase of a sentence, and where in the picture it is."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from PIL import Image

from captioning.boxes import Box
from captioning.reports.page import data_uri
from captioning.reports.region_picture import box_picture, class_colour
from captioning.tasks.grounding.location import Location
from captioning.text.noun_phrases import NounPhrase


@dataclass(frozen=True)
class GroundedCaption:
    """A sentence and its noun phrases, in their order, with where they are. Prints as the sentence."""

    text: str
    phrases: tuple[NounPhrase, ...]
    locations: tuple[Location, ...]

    @property
    def objects(self) -> list[tuple[str, list[tuple[float, float, float, float]]]]:
        """What each phrase is about, and its boxes: what `score_grounded` compares."""
        pairs = zip(self.phrases, self.locations, strict=True)
        return [(phrase.head, [box.corners for box in where.boxes]) for phrase, where in pairs]

    @property
    def boxes(self) -> list[Box]:
        return [box for where in self.locations for box in where.boxes]

    def to_dict(self, size: tuple[int, int] | None = None) -> dict[str, Any]:
        """As JSON has it: the caption, and of each phrase its place among the words and its boxes."""
        pairs = zip(self.phrases, self.locations, strict=True)
        phrases = [{"words": [phrase.start, phrase.end], **where.to_dict(size)} for phrase, where in pairs]
        return {"caption": self.text, "phrases": phrases}

    def draw(self, image: Image.Image, *, width: int = 960) -> Image.Image:
        """The picture with the boxes of all phrases."""
        return box_picture(image, self.boxes, width=width)

    def html(self, image: Image.Image, *, width: int = 480) -> str:
        """The picture with its boxes, and the sentence with each phrase in the colour of its box."""
        colours = {label: class_colour(i) for i, label in enumerate(sorted({box.label for box in self.boxes}))}
        words, said, done = self.text.split(), [], 0
        for phrase, where in zip(self.phrases, self.locations, strict=True):
            said += map(escape, words[done : phrase.start])
            text = escape(phrase.text)
            if where.boxes:
                red, green, blue = colours[where.phrase]
                text = f'<mark style="background:rgba({red},{green},{blue},.35)">{text}</mark>'
            said.append(text)
            done = phrase.end
        said += map(escape, words[done:])
        shot = data_uri(self.draw(image, width=width), "JPEG", quality=88)
        return f'<figure><img src="{shot}" alt="{escape(self.text)}"><figcaption>{" ".join(said)}</figcaption></figure>'
