"""A folder a class: every photo once, train and test apart, its name in its prompts."""

import pytest
from PIL import Image

from captioning.data.benchmarks.labelled_folders import LabelledFolders
from captioning.errors import UserError


@pytest.fixture
def folders(tmp_path):
    for name, count in (("sea_horse", 5), ("ant", 2), ("BACKGROUND_Google", 3)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("RGB", (20, 20)).save(tmp_path / name / f"image_{i:04}.jpg")
    return tmp_path


def test_photos_are_dealt_out_by_name_class_by_class(folders):
    source = LabelledFolders(folders, train_per_class=1, templates=["a {}", "the {}."], names={"ant": "small ant"})
    train, test = source.examples("train"), source.examples("test")
    assert [example.file for example in train] == ["ant/image_0000.jpg", "sea_horse/image_0000.jpg"]
    assert len(test) == 5 and not {e.id for e in train} & {e.id for e in test}
    assert train[0].captions == ("a small ant", "the small ant.") and train[0].labels == ("ant",)
    assert train[1].captions == ("a sea horse", "the sea horse.")
    assert source.image(test[0]).size == (20, 20)
    assert len(LabelledFolders(folders).examples("train")) == 7


def test_what_makes_no_sense_is_refused_by_name(folders, tmp_path):
    for wrong, message in (({"train_per_class": 0}, "train_per_class"), ({"templates": ["a"]}, "templates")):
        with pytest.raises(UserError, match=message):
            LabelledFolders(folders, **wrong)
    with pytest.raises(UserError, match="not a folder"):
        LabelledFolders(tmp_path / "nowhere").examples("train")
    with pytest.raises(UserError, match="no folders"):
        LabelledFolders(folders / "ant").examples("train")
    with pytest.raises(UserError):
        LabelledFolders(folders).examples("val")


def test_photos_to_choose_by_are_neither_learned_from_nor_tested_on(folders):
    source = LabelledFolders(folders, train_per_class=1, val_per_class=1)
    train, val, test = ([e.file for e in source.examples(split)] for split in ("train", "val", "test"))
    assert val == ["ant/image_0001.jpg", "sea_horse/image_0001.jpg"] and len(test) == 3
    assert len({*train, *val, *test}) == 7
    whole = LabelledFolders(folders, val_per_class=2)
    assert len(whole.examples("val")) == 4 and [e.file for e in whole.examples("train")][0].startswith("sea_horse")
    with pytest.raises(UserError, match="val_per_class"):
        LabelledFolders(folders, val_per_class=-1)
