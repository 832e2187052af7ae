"""Several views of each training photo."""

import numpy as np
import pytest

from captioning.data.crops import Views
from captioning.data.synthetic.scenes import Scenes
from captioning.errors import UserError


@pytest.fixture(scope="module")
def scenes():
    return Scenes(train=3, val=2, test=2)


def test_training_photos_are_seen_several_times_and_others_once(scenes):
    views = Views(source=scenes, views=3)
    plain, seen = scenes.examples("train"), views.examples("train")
    assert len(seen) == 3 * len(plain) and len({example.id for example in seen}) == len(seen)
    assert seen[: len(plain)] == plain, "the photos as they are keep their ids, and so their features"
    assert sorted(e.captions for e in seen) == sorted(e.captions for e in plain for _ in range(3))
    assert views.examples("val") == scenes.examples("val")


def test_views_of_a_photo_differ_and_stay_the_same(scenes):
    views = Views(source=scenes, views=3)
    one = [e for e in views.examples("train") if str(e.id).split("#")[0] == str(scenes.examples("train")[0].id)]
    pictures = [np.asarray(views.image(example)) for example in one]
    assert len(pictures) == 3
    assert np.array_equal(pictures[0], np.asarray(scenes.image(one[0]))), "the first view is the photo"
    assert all(picture.size < pictures[0].size for picture in pictures[1:]), "the others are crops of it"
    again = Views(source=scenes, views=3)
    assert all(np.array_equal(a, np.asarray(again.image(e))) for a, e in zip(pictures, one, strict=True))
    assert pictures[1].shape != pictures[2].shape or not np.array_equal(pictures[1], pictures[2])


def test_a_caption_is_counted_once_however_often_its_photo_is_seen(scenes):
    views = Views(source=scenes, views=3)
    assert views.distinct(views.examples("train")) == scenes.distinct(scenes.examples("train"))


@pytest.mark.parametrize("views", [0, -1, 1.5, "two", True])
def test_how_often_is_a_number(scenes, views):
    with pytest.raises(UserError, match="data.views"):
        Views(source=scenes, views=views)
