"""Features that are no numbers, and descriptions nested without end, are named when they are read."""

import math

import numpy as np
import pytest
import torch
from test_store import create, filled, memory

from captioning.errors import UserError
from captioning.features.store import FeatureStore, no_numbers
from captioning.features.store_part import PartWriter


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["tokens", "pooled"])
def test_features_that_are_no_numbers_are_not_put_in(tmp_path, name, value):
    batch = memory([3, 1])
    getattr(batch, name)[1].flatten()[0] = value
    store = create(tmp_path)
    with pytest.raises(UserError, match=f"{name} of picture 'b'"):
        store.append(["a", "b"], batch)


def test_features_that_are_no_numbers_are_named_by_read_and_by_check(tmp_path):
    filled(tmp_path).close()
    values = {"tokens": np.full((2, 6), np.nan, np.float16), "pooled": np.zeros(6, np.float16)}
    writer = PartWriter(tmp_path, 6, ("tokens", "pooled", "boxes"))
    writer.append([b'"odd"'], [{**values, "boxes": np.zeros((2, 4), np.float32)}])
    writer.close()
    store = FeatureStore(tmp_path)
    assert list(store.damaged()) == ["odd"]
    with pytest.raises(UserError, match="tokens of picture 'odd'"):
        store.read(["a", "odd"])
    assert torch.isfinite(store.read(["a", 7]).tokens).all()


def test_every_finite_half_is_a_number():
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    assert no_numbers({"a": halves[np.isfinite(halves)]}) is None
    assert all(no_numbers({"a": halves[i : i + 1]}) == "a" for i in np.flatnonzero(~np.isfinite(halves)))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"version":' * 50_000])
def test_a_description_nested_without_end_is_a_sentence(tmp_path, text):
    filled(tmp_path).close()
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(UserError, match="store.json"):
        FeatureStore(tmp_path)
