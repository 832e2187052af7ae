"""A photo that cannot be decoded is left out before training meets it, with a store and without one."""

import numpy as np
import pytest
from PIL import Image

from captioning.data.table import Table
from captioning.encoders.grid import GridEncoder
from captioning.errors import UserError
from captioning.features.stored import stored

TINY = {"backbone": "test_resnet", "size": 64}
CONFIG = {"_target_": "captioning.encoders.grid.GridEncoder", **TINY, "weights": "none"}


@pytest.fixture
def table(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / name)
    for name in ("b.jpg", "c.png"):  # of which the header says nothing wrong
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
    (tmp_path / "t.csv").write_text("file,caption\na.jpg,A\nb.jpg,B\nc.png,C\n")
    return tmp_path / "t.csv"


@pytest.mark.parametrize("store", [None, "auto"])
def test_the_same_photos_are_left_out_with_a_store_and_without(table, store, caplog):
    source = Table(table, val_fraction=0, test_fraction=0, on_missing="skip")
    encoder = GridEncoder(**TINY, weights="none")
    _, usable = stored(store, source, encoder, CONFIG, source.examples("train"))
    assert usable == {"a.jpg"} and "2 of 3" in caplog.text and "Left out" in caplog.text


def test_where_nothing_is_left_out_a_damaged_header_is_an_error(table):
    (table.parent / "b.jpg").write_bytes(b"no picture")
    source = Table(table, val_fraction=0, test_fraction=0)
    with pytest.raises(UserError, match="b.jpg"):
        stored(None, source, GridEncoder(**TINY, weights="none"), CONFIG, source.examples("train"))
