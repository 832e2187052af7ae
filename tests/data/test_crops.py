"""Several views of each training photo."""

import random

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image
from source_layouts import Flickr8kLayout

from captioning.commands.data import check
from captioning.commands.hydra import conf_folder
from captioning.data.crops import Views, window
from captioning.data.source import Source
from captioning.data.synthetic.scenes import Scenes
from captioning.encoders.grid import GridEncoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.stored import stored


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


def test_boxes_of_a_crop_are_where_it_shows_what_they_are_of():
    """Each thing is of one bright colour on a dark ground: what lies in its box in the crop is of that colour."""

    class Squares(Source):
        name, splits = "squares", ("train",)

        def examples(self, split):
            boxes = ((0.05, 0.05, 0.3, 0.3), (0.4, 0.4, 0.6, 0.6), (0.7, 0.6, 0.98, 0.9))
            return [Example(i, f"{i}", ("a",), boxes, ("red", "green", "blue")) for i in range(30)]

        def image(self, example):
            picture = Image.new("RGB", (200, 120))
            for (x1, y1, x2, y2), colour in zip(example.boxes, ("#f00", "#0f0", "#00f"), strict=True):
                picture.paste(colour, (round(x1 * 200), round(y1 * 120), round(x2 * 200), round(y2 * 120)))
            return picture

    squares = Squares()
    found = Views(source=squares, views=3).examples("train")[30:]
    for example in found:
        picture = np.asarray(Views(source=squares, views=3).image(example))
        height, width = picture.shape[:2]
        assert len(example.boxes) == len(example.labels) and "green" in example.labels
        for (x1, y1, x2, y2), label in zip(example.boxes, example.labels, strict=True):
            part = picture[
                round(y1 * height) + 2 : round(y2 * height) - 2, round(x1 * width) + 2 : round(x2 * width) - 2
            ]
            assert part.mean((0, 1)).argmax() == ("red", "green", "blue").index(label) and part.max() > 100
    assert len({len(example.boxes) for example in found}) > 1, "some lose a thing at the edge"


def test_crops_of_a_world_are_what_they_were():
    """Their features may lie in stores."""
    assert window((100, 80), random.Random("7 1")) == (8, 0, 100, 80)


def test_a_view_does_with_what_is_missing_as_it_is_told(tmp_path, monkeypatch, capsys):
    layout = Flickr8kLayout(tmp_path / "flickr8k")
    layout.write()
    layout.photo("a.jpg").unlink()
    monkeypatch.setenv("CAPTIONING_DATA", str(tmp_path))

    def views(*overrides):
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            config = compose("evaluate", ["data=flickr8k_views", *overrides]).data
        return instantiate({key: value for key, value in config.items() if key != "split"})

    with pytest.raises(UserError, match=r"Images/a\.jpg"):
        views().examples("train")
    skipping = views("data.on_missing=skip")
    assert [example.id for example in skipping.examples("train")] == ["b.jpg", "c.jpg", "b.jpg#view1", "c.jpg#view1"]
    assert check("flickr8k_views") == 1
    assert "2 there, 1 missing, the first is Images/a.jpg" in capsys.readouterr().out

    layout.photo("b.jpg").write_bytes(b"no photo")
    look = {"backbone": "test_resnet", "weights": "none", "size": 32}
    of_stores = {"encoder": GridEncoder(**look), "config": look, "where": str(tmp_path / "store")}
    _, usable = stored(source=skipping, examples=skipping.examples("train"), **of_stores)
    assert usable == {"c.jpg", "c.jpg#view1"}
    with pytest.raises(UserError, match="unreadable"):
        ignoring = views("data.on_missing=ignore")
        stored(source=ignoring, examples=ignoring.examples("train")[1:], **of_stores)
