"""A caption, and the captions that a decoder makes of a memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image

from captioning.decoders.base import Decoder
from captioning.decoders.salience import salience
from captioning.generation.word_options import with_vocabulary
from captioning.memory import VisualMemory
from captioning.text.subwords import Subwords
from captioning.text.vocabulary import EOS, Vocabulary


@dataclass(frozen=True)
class Caption:
    """One sentence about one picture. Prints as its text.

    `score` compares captions of one model and one way of searching; it is no probability, and a high one does not say
    that the sentence is right. `confidence` does, where the model was calibrated: of captions with 0.8 four of five
    name something that is there, of COCO's objects, and nothing that is not.
    """

    text: str
    score: float  # what the search ranked by: log-probability as it is normalised there, and agreement if that counts
    words: list[str] = field(repr=False)
    log_probabilities: list[float] | None = field(default=None, repr=False)  # one a word, then one of the end
    attention: np.ndarray | None = field(default=None, repr=False)  # (T, N), a row a word; None without attention
    boxes: np.ndarray | None = field(default=None, repr=False)  # (N, 4) in [0, 1] where the tokens are regions
    labels: list[str] | None = field(default=None, repr=False)  # what the detector calls each of the N regions
    confidence: float | None = None  # the probability that it is right, from 0 to 1, where the model was calibrated
    believed: tuple[
        tuple[str, float], ...
    ] = ()  # what a detector and a classifier name, the most salient first, how surely
    picture: Image.Image | None = field(default=None, repr=False, compare=False)  # small; only with details

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture, the sentence, and where the model looked for each word."""
        from captioning.reports.caption_card import card

        return card([self], self.picture)


def describe(
    decoder: Decoder,
    memory: VisualMemory,
    vocabulary: Vocabulary | Subwords,
    generation: Callable,
    *,
    details: bool = False,
    class_names: Sequence[str] | None = None,
    confidence: Callable[[float], float] | None = None,
) -> list[list[Caption]]:
    """The captions of every image of a memory, best first.

    `details` adds log-probabilities and attention, and for regions their boxes and, by `class_names`, their labels;
    where some tokens are concepts, the attention is that to the others alone. `confidence` makes one of a score.
    """
    with torch.inference_mode():
        context = decoder.prepare(memory.float())
        search = with_vocabulary(generation, vocabulary)
        generated = search(decoder, context, **{"max_words": vocabulary.max_words, **search.keywords}, details=details)
    words, scores = generated.words.tolist(), generated.scores.tolist()
    concepts = memory.classes is not None and bool((memory.classes < 0).any())  # beside tokens that are none
    named = [believed(memory, b, class_names) if concepts and class_names else () for b in range(len(words))]
    if concepts:
        shown = memory.classes < 0
        attention = generated.attention
        if attention is not None:
            attention = attention * shown[:, None, None]
            attention = attention / attention.sum(-1, keepdim=True).clamp(min=1e-12)
            generated = generated._replace(attention=attention)
        memory, class_names = replace(memory, mask=memory.mask & shown, boxes=None, classes=None, scores=None), None
    sure = confidence or (lambda score: None)
    return [
        [
            replace(
                _caption(generated, memory, vocabulary, b, k, words[b][k], score, details, class_names),
                confidence=sure(score),
                believed=named[b],
            )
            for k, score in enumerate(scores[b])
            if k == 0 or score > -math.inf  # fewer captions may exist than were asked for
        ]
        for b in range(len(words))
    ]


def believed(memory: VisualMemory, image: int, class_names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """What the concept tokens of an image name and how sure that is, the most salient first, each name once."""
    there = (memory.classes[image] >= 0) & memory.mask[image]
    counts = memory.scores if memory.boxes is None else salience(memory)
    parts = (part[image][there].tolist() for part in (memory.classes, memory.scores, counts))
    sure: dict[str, float] = {}
    most: dict[str, float] = {}
    for number, score, count in zip(*parts, strict=True):
        name = class_names[number]
        sure[name], most[name] = max(score, sure.get(name, 0.0)), max(count, most.get(name, 0.0))
    return tuple((name, sure[name]) for name in sorted(sure, key=lambda name: -most[name]))


def _caption(
    generated, memory, vocabulary, b: int, k: int, ids: list[int], score: float, details: bool, class_names
) -> Caption:
    words, text = vocabulary.decode(ids), vocabulary.text(ids)
    if not details:
        return Caption(text, score, words)
    groups = vocabulary.groups(ids)  # of a word's tokens, whose probabilities multiply and whose attention is averaged
    chances = generated.log_probabilities[b, k].tolist()
    ends = [chances[ids.index(EOS)]] if EOS in ids else []
    real = memory.mask[b].cpu()
    attention, classes = generated.attention, memory.classes if class_names else None
    return Caption(
        text,
        score,
        words,
        [sum(chances[place] for place in group) for group in groups] + ends,
        None if attention is None else by_word(attention[b, k].float().cpu()[:, real], groups),
        None if memory.boxes is None else memory.boxes[b].cpu()[real].numpy(),
        None if classes is None else [class_names[number] for number in classes[b].cpu()[real].tolist()],
    )


def by_word(attention: torch.Tensor, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """attention (T, N) of tokens, the places of each word's tokens -> (words, N), the mean over a word's tokens."""
    if all(len(group) == 1 for group in groups):
        return attention[[group[0] for group in groups]].numpy()
    return torch.stack([attention[list(group)].mean(0) for group in groups]).numpy()
