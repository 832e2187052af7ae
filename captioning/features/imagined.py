"""Memories for captions without photos, imagined after the photos of the same run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import torch

from captioning.encoders.imagined import Imagination, mentioned
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.store import FeatureStore
from captioning.memory import VisualMemory

PHOTOS = 2000  # from which is learned how detector and classifier err
AT_ONCE = 100


class ImaginedMemories:
    """Examples without a photo -> memories of concept tokens, drawn anew in each epoch (see `Imagination`).

    How often a concept is missed, confused or added is that of the store's own `photos`, of which some are read first.
    With the probability `strangers` a batch gets the visual tokens of photos that have nothing to do with it: so a
    decoder learns to believe the concepts where what it sees is of a kind that it never saw. Each is the one of
    `alike` photos, drawn from those that were read first, of which most like the same was said.

    Photos themselves have their concepts hidden with the probability `hidden`: so it learns to speak without them too.
    """

    def __init__(
        self,
        store: FeatureStore,
        photos: Sequence[Example],
        *,
        strangers: float = 0.25,
        alike: int = 1,
        hidden: float = 0.0,
        seed: int = 0,
        most_regions: int = 8,
        most_nouns: int = 3,
    ):
        if not 0 <= strangers <= 1:
            raise UserError(f"strangers={strangers}: it is a probability, from 0 to 1")
        if not 0 <= hidden <= 1:
            raise UserError(f"hidden_concepts={hidden}: it is a probability, from 0 to 1")
        if alike < 1:
            raise UserError(f"strangers_alike={alike}: it is a number of photos, 1 or more")
        if "classes" not in store.columns:
            raise UserError(f"{store.folder} has no concepts, which captions without photos need: choose concepts=both")
        self.store, self.strangers, self.seed = store, strangers, seed
        self.alike, self.hidden = alike, hidden
        self.imagination = Imagination(width=store.width, most_regions=most_regions, most_nouns=most_nouns)
        self.ids = [photo.id for photo in photos]
        dice = random.Random(f"{seed}")
        known = dice.sample(list(photos), min(PHOTOS, len(photos)))
        self.known = [photo.id for photo in known]
        for start in range(0, len(known), AT_ONCE):
            chunk = known[start : start + AT_ONCE]
            self.imagination.learn(store.read([photo.id for photo in chunk]), [photo.captions for photo in chunk])

    def __call__(self, examples: Sequence[Example], epoch: int) -> VisualMemory:
        seeds = [f"{self.seed} {epoch} {example.id}" for example in examples]
        memory = self.imagination([example.captions for example in examples], seeds)
        dice = random.Random(" ".join(seeds))
        if dice.random() >= self.strangers:
            return memory
        lent = [self.lent(example, dice) for example in examples] if self.alike > 1 else None
        return beside(self.store.read(lent or dice.choices(self.ids, k=len(examples))).float(), memory)

    def lent(self, example: Example, dice: random.Random) -> int | str:
        """The photo whose visual tokens an example gets: of `alike` many that of which most like the same was said."""
        named = frozenset(mentioned(example.captions))
        drawn = [dice.randrange(len(self.known)) for _ in range(self.alike)]
        photos = self.imagination.photos
        return self.known[max(drawn, key=lambda i: len(photos[i].said & named) - len(photos[i].said - named) / 3)]

    def of_photos(self, memory: VisualMemory, ids: Sequence[int | str], epoch: int) -> VisualMemory:
        """The memory of photos, some of them without their concepts; the same epoch, the same photos."""
        if not self.hidden:
            return memory
        dice = [random.Random(f"{self.seed} {epoch} {key}").random() < self.hidden for key in ids]
        hidden = torch.tensor(dice)[:, None] & (memory.classes >= 0)  # (B, N)
        return replace(memory, mask=memory.mask & ~hidden, classes=memory.classes.masked_fill(hidden, -1))


def beside(photos: VisualMemory, concepts: VisualMemory) -> VisualMemory:
    """The visual tokens of some photos, and after them the concept tokens of others."""
    mask = photos.mask & (photos.classes < 0)
    joined = {
        name: torch.cat([getattr(photos, name), getattr(concepts, name)], 1)
        for name in ("tokens", "boxes", "classes", "scores")
    }
    return replace(photos, mask=torch.cat([mask, concepts.mask], 1), **joined)
