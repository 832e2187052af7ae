"""Memories of captions without a photo: concept tokens as detector and classifier give them, errors and all."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch

from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.text.concepts import coco_objects, concept_namer, concepts, imagenet_nouns
from captioning.text.tokenizer import tokenize

REGIONS, NOUNS = 0, 1  # the two that name concepts
ALIKE = 8  # photos of which that is taken whose concepts are most like those of the captions
SEVERAL = frozenset("two three four several many some group people men women children geese sheep".split())


class Token(NamedTuple):
    """One concept token."""

    concept: int
    score: float
    box: tuple[float, float, float, float]


class Mentioned(NamedTuple):
    """How captions of one photo speak of a concept."""

    captions: int  # that name it
    plural: bool  # whether most of these mean several


class Photo(NamedTuple):
    """What was said of a photo, and what each of the two named in it that nobody said."""

    said: frozenset[int]
    beside: tuple[list[Token], list[Token]]


class Imagination:
    """Draws what would be believed to be seen in a photo of which only captions are known (after Li et al. 2023).

    It has no numbers of its own: `learn` keeps, of real photos with captions, what detector and classifier gave for
    each concept that captions name (nothing, where they missed it), by whether it is a person, how many captions name
    it and whether they mean several; and what they named beside that, right or wrong. A concept of the captions then
    gets the tokens of one drawn from its like, and what is named beside comes from one of `ALIKE` photos, that of
    which most like the same was said. With `width` that of the encoder's tokens.
    """

    def __init__(self, *, width: int, most_regions: int = 8, most_nouns: int = 3):
        self.width, self.most = width, (most_regions, most_nouns)
        nouns = {noun for noun in imagenet_nouns() if noun}
        names = list(concepts())
        self.knows = (range(len(coco_objects())), {names.index(noun) for noun in nouns})
        self.pools: tuple[dict, dict] = (defaultdict(list), defaultdict(list))
        self.photos: list[Photo] = []

    def learn(self, memory: VisualMemory, captions: Sequence[Sequence[str]]) -> None:
        """Takes in photos of which both are known: a memory of B with concept tokens, and the captions of each."""
        for tokens, texts in zip(tokens_of(memory), captions, strict=True):
            said = mentioned(texts)
            beside: tuple[list[Token], list[Token]] = ([], [])
            for who in (REGIONS, NOUNS):
                by_concept = defaultdict(list)
                for token in tokens[who]:
                    by_concept[token.concept].append(token)
                for concept, how in said.items():
                    if concept in self.knows[who]:
                        self.pools[who][kind(concept, how)].append(by_concept.get(concept, []))
                beside[who].extend(token for token in tokens[who] if token.concept not in said)
            self.photos.append(Photo(frozenset(said), beside))

    def tokens(self, captions: Sequence[str], dice: random.Random) -> tuple[list[Token], list[Token]]:
        """What the detector, and what the classifier, might have given for a photo with these captions."""
        if not self.photos:
            raise UserError("captions without photos need photos with captions and concepts beside them to learn from")
        said = mentioned(captions)
        names = frozenset(said)
        found = []
        for who in (REGIONS, NOUNS):
            near = dice.sample(self.photos, min(ALIKE, len(self.photos)))
            model = max(near, key=lambda photo: len(photo.said & names))
            drawn = [token for token in model.beside[who] if token.concept not in said]
            for concept, how in said.items():
                if concept in self.knows[who] and (pool := self.pools[who].get(kind(concept, how))):
                    drawn += [token._replace(concept=concept) for token in dice.choice(pool)]
            found.append(sorted(drawn, key=weight, reverse=True)[: self.most[who]])
        return found[REGIONS], found[NOUNS]

    def __call__(self, captions: Sequence[Sequence[str]], seeds: Iterable[str]) -> VisualMemory:
        """Captions of B photos that nobody has -> a memory of concept tokens alone; the same seed, the same memory.

        Of a photo in which nothing would be named a last class tells, 2C for C concepts.
        """
        count = len(concepts())
        rows = []
        for texts, seed in zip(captions, seeds, strict=True):
            regions, nouns = self.tokens(texts, random.Random(seed))
            row = [*regions, *(token._replace(concept=token.concept + count) for token in nouns)]
            rows.append(row or [Token(2 * count, 0.0, (0.0, 0.0, 1.0, 1.0))])
        longest = max(map(len, rows))
        blank = Token(-1, 0.0, (0.0, 0.0, 0.0, 0.0))
        padded = [[*row, *[blank] * (longest - len(row))] for row in rows]
        classes = torch.tensor([[token.concept for token in row] for row in padded])
        return VisualMemory(
            tokens=torch.zeros(*classes.shape, self.width),
            mask=classes >= 0,
            pooled=torch.zeros(len(rows), self.width),
            boxes=torch.tensor([[token.box for token in row] for row in padded]),
            classes=classes,
            scores=torch.tensor([[token.score for token in row] for row in padded]),
        )


def mentioned(captions: Sequence[str]) -> dict[int, Mentioned]:
    """The concepts that captions of one photo name."""
    numbers = {name: i for i, name in enumerate(concepts())}
    naming, plural = Counter(), Counter()
    for text in captions:
        words = tokenize(text)
        several: dict[int, bool] = {}
        for mention in concept_namer()(words):
            end = words[mention.start + mention.length - 1]
            many = end in SEVERAL or (end.endswith("s") and not end.endswith("ss"))
            many |= mention.start > 0 and words[mention.start - 1] in SEVERAL
            for name in mention.names:
                several[numbers[name]] = several.get(numbers[name], False) or many
        naming.update(several.keys())
        plural.update(concept for concept, many in several.items() if many)
    return {concept: Mentioned(count, 2 * plural[concept] > count) for concept, count in sorted(naming.items())}


def kind(concept: int, how: Mentioned) -> tuple[bool, int, bool]:
    """Which concepts are found alike: a person or not, named by one, two or more captions, several or one."""
    return concept == 0, min(how.captions, 3), how.plural


def weight(token: Token) -> float:
    """By how much a token counts among others: score times the square root of its area."""
    x1, y1, x2, y2 = token.box
    return token.score * (max(0.0, x2 - x1) * max(0.0, y2 - y1)) ** 0.5


def tokens_of(memory: VisualMemory) -> list[tuple[list[Token], list[Token]]]:
    """The concept tokens of B images: those of the detector, and those of the classifier."""
    count, found = len(concepts()), []
    for classes, mask, scores, boxes in zip(
        memory.classes.tolist(), memory.mask.tolist(), memory.scores.tolist(), memory.boxes.tolist(), strict=True
    ):
        tokens = [
            Token(concept, score, tuple(box))
            for concept, real, score, box in zip(classes, mask, scores, boxes, strict=True)
            if real and 0 <= concept < 2 * count
        ]
        nouns = [token._replace(concept=token.concept - count) for token in tokens if token.concept >= count]
        found.append(([token for token in tokens if token.concept < count], nouns))
    return found
