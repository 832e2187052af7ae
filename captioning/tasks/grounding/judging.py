"""Do the words of captions point where people point? F1_all and F1_loc of many captions (Zhou et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from captioning.data.phrases import Phrase
from captioning.data.source import Source
from captioning.data.wrapped_source import WrappedSource
from captioning.errors import UserError
from captioning.example import Example
from captioning.metrics.grounded_captions import score_grounded
from captioning.metrics.scores import Scores
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.grounding.attention import by_attention
from captioning.tasks.grounding.locator import Locator
from captioning.tasks.load import load
from captioning.tasks.predictor import Predictor
from captioning.text.noun_phrases import NounPhrase, noun_phrases

ATTENTION = "attention"  # in the place of a locator's name: where the captioner itself looks


class AskedFor(WrappedSource):
    """A source of phrases, each picture with those that it is asked for instead of its own."""

    def __init__(self, source: Source, phrases: Mapping[int | str, Sequence[str]]):
        super().__init__(source)
        self.phrases = phrases

    def examples(self, split: str) -> list[Example]:
        """The pictures that are asked for something."""
        found = []
        for example in self.source.examples(split):
            texts = self.phrases.get(example.id, ())
            asked = tuple(Phrase(f"{example.id}/{i}", text) for i, text in enumerate(texts))
            found += [replace(example, phrases=asked)] if asked else []
        return found


def load_locator(name: str, captioner: Predictor, device: str | None = None, allow: Sequence[str] = ()) -> Locator:
    """The locator of that name or folder, or "attention". Raises UserError for what does not write or locate."""
    if not isinstance(captioner, Captioner):
        raise UserError("locator= is for models that write captions: it puts their words in boxes")
    if name == ATTENTION:
        return by_attention(captioner)
    found = load(name, device=device, allow=allow)
    if not isinstance(found, Locator):
        raise UserError(f"locator={name} does not locate phrases: locator=flickr8k_grounding does, or {ATTENTION}")
    return found


def add_grounding_scores(
    scores: Scores,
    locator: Locator,
    source: Source,
    split: str,
    captions: Mapping[int | str, str],
    examples: Sequence[Example],
    **options: Any,
) -> None:
    """Puts F1_all, F1_loc and what they are made of beside the other scores of captions by picture.

    The things that a caption names are its noun phrases, by their last words in the singular, as are those that people
    drew. Every one has the boxes in which the locator finds it, however unlikely. `options` are those of
    `predict_split`. Raises UserError where the source has no phrases with boxes.
    """
    truth = {example.id: drawn_by_people(example) for example in examples}
    if not any(truth.values()):
        raise UserError(f"locator= needs phrases with boxes, of which {source.name} has none: data=flickr30k_entities")
    named = {key: noun_phrases(text.split()) for key, text in captions.items()}
    asked = AskedFor(source, {key: [phrase.text for phrase in those] for key, those in named.items()})
    _, predictions = locator.predict_split(asked, split, **options)
    found = {
        key: [(phrase.head, one["boxes"]) for phrase, one in zip(named[key], those, strict=True)]
        for key, those in predictions.items()
    }
    for name, value in score_grounded(truth, found).items():
        scores.corpus[f"grounding {name}" if name in ("precision", "recall") else name] = value


def drawn_by_people(example: Example) -> list[tuple[str, Sequence[tuple[float, float, float, float]]]]:
    """What people name of a picture, and its boxes."""
    phrases = [phrase for phrase in getattr(example, "phrases", ()) if phrase.boxes and phrase.text.split()]
    return [(NounPhrase(phrase.text, 0, 0).head, phrase.boxes) for phrase in phrases]
