"""A model that shares another's encoder says what it says with its own, and weighs no more than its task."""

import shutil

import numpy as np
import pytest
import yaml
from tiny_embedder import saved_embedder, tiny_embedder
from tiny_model import pictures, saved_model

from captioning.errors import UserError
from captioning.models.bundle import Bundle, load_bundle, save_bundle
from captioning.tasks.embedding.embedder import Embedder
from captioning.tasks.load import load


@pytest.fixture
def box(tmp_path):
    """A captioner, and an embedder that has the encoder of it."""
    captioner = load_bundle(saved_model(tmp_path / "captioner"))
    whole = Bundle(captioner.encoder, captioner.encoder_config, tiny_embedder().task)
    save_bundle(tmp_path / "whole", whole, card="")
    save_bundle(tmp_path / "sharing", whole, card="", encoder_of="captioner")
    return tmp_path


def test_it_says_the_same_as_with_an_encoder_of_its_own(box):
    whole, sharing = load(box / "whole"), load(box / "sharing")
    np.testing.assert_array_equal(sharing.embed(pictures(3)), whole.embed(pictures(3)))
    assert sharing.fingerprint == whole.fingerprint and isinstance(sharing, Embedder)
    small, large = ((box / name / "weights.safetensors").stat().st_size for name in ("sharing", "whole"))
    assert small < large / 2


def test_another_folder_for_both_is_no_matter(box, tmp_path):
    shutil.move(box / "captioner", box / "moved" / "captioner")
    shutil.move(box / "sharing", box / "moved" / "sharing")
    assert load(box / "moved" / "sharing").embed(pictures(1)).shape == (1, 8)


def test_without_the_lender_it_is_not_whole(box):
    shutil.rmtree(box / "captioner")
    with pytest.raises(UserError, match="captioner is not a whole model"):
        load_bundle(box / "sharing")


def test_an_encoder_that_is_another_is_not_shared(box):
    other = load_bundle(saved_embedder(box / "other"))
    next(other.encoder.parameters()).data += 1
    with pytest.raises(UserError, match="another encoder"):
        save_bundle(box / "wrong", other, card="", encoder_of="captioner")


@pytest.mark.parametrize("name", ["../captioner", "/tmp/captioner", "", ".", "..", 3, None, "sharing", ["captioner"]])
def test_a_lender_is_a_name_in_the_same_folder(box, name):
    path = box / "sharing" / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"encoder": {"_from_": name}}))
    with pytest.raises(UserError, match="beside this one|from itself"):
        load_bundle(box / "sharing")


def test_a_lender_that_has_none_itself_is_refused(box):
    save_bundle(box / "third", load_bundle(box / "whole"), card="", encoder_of="captioner")
    path = box / "third" / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"encoder": {"_from_": "sharing"}}))
    with pytest.raises(UserError):
        load_bundle(box / "third")
