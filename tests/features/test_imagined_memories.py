"""Whose cells captions without photos get, and what of photos beside them is hidden, in each epoch anew."""

import pytest
import torch

from captioning.encoders.imagined import Imagination
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.imagined import ImaginedMemories
from captioning.memory import VisualMemory
from captioning.text.concepts import concepts

DOG, PIZZA = (list(concepts()).index(name) for name in ("dog", "pizza"))
PHOTOS = [Example(f"dog{i}", "x.jpg", ("A dog.",)) for i in range(6)]
PHOTOS += [Example(f"pizza{i}", "x.jpg", ("A pizza.",)) for i in range(6)]


class Store:
    """Photos of one cell, which says what is in them, and one concept."""

    columns, width, folder = ("classes",), 4, "store"

    def read(self, ids):
        kinds = torch.tensor([DOG if key.startswith("dog") else PIZZA for key in ids])
        count = len(ids)
        tokens = torch.zeros(count, 2, 4)
        tokens[:, 0] = kinds[:, None]
        return VisualMemory(
            tokens,
            torch.ones(count, 2, dtype=torch.bool),
            tokens[:, 0],
            boxes=torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(count, 2, 4),
            classes=torch.stack([torch.full_like(kinds, -1), kinds], 1),
            scores=torch.ones(count, 2),
        )


def made(**options):
    return ImaginedMemories(Store(), PHOTOS, **options)


def test_cells_are_lent_by_a_photo_of_which_most_like_the_same_was_said():
    texts = [Example(f"t{i}", "", ("A dog runs.",)) for i in range(20)]
    near, any_ = (made(strangers=1.0, alike=alike)(texts, 0).tokens[:, 0, 0] for alike in (30, 1))
    assert (near == DOG).all() and 0 < (any_ == DOG).sum() < 20


def test_the_concepts_of_some_photos_are_hidden_and_of_others_in_another_epoch():
    ids = [photo.id for photo in PHOTOS] * 4
    imagine, memory = made(hidden=0.5), Store().read(ids)
    first, again, later = (imagine.of_photos(memory, ids, epoch) for epoch in (0, 0, 1))
    assert torch.equal(first.mask, again.mask) and not torch.equal(first.mask, later.mask)
    assert first.mask[:, 0].all() and 0 < first.mask[:, 1].sum() < len(ids)
    assert torch.equal(first.classes[:, 1] >= 0, first.mask[:, 1])


@pytest.mark.parametrize(("hidden", "left"), [(0.0, True), (1.0, False)])
def test_none_and_all_are_what_they_say(hidden, left):
    ids = [photo.id for photo in PHOTOS]
    assert (made(hidden=hidden).of_photos(Store().read(ids), ids, 3).mask[:, 1] == left).all()


@pytest.mark.parametrize(("option", "value", "key"), [("hidden", 1.2, "hidden_concepts"), ("alike", 0, "strangers")])
def test_an_option_out_of_range_is_named(option, value, key):
    with pytest.raises(UserError, match=key):
        made(**{option: value})


def test_imagination_knows_as_many_photos_as_it_was_shown():
    imagination = Imagination(width=4)
    imagination.learn(Store().read([photo.id for photo in PHOTOS]), [photo.captions for photo in PHOTOS])
    assert len(imagination.photos) == len(PHOTOS)
