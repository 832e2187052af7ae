"""A model in eight bits is the same but for half a level, takes a quarter of the room, and is refused if spoiled."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_model import pictures, saved_model, tiny_bundle

from captioning.errors import UserError
from captioning.models.bundle import load_bundle
from captioning.models.eight_bit import FEWEST, SCALE, in_eight_bits, restored
from captioning.training.initial_weights import read_start

WEIGHTS = {
    "matrix": torch.randn(64, 80, generator=torch.Generator().manual_seed(1)),
    "filters": torch.randn(32, 16, 3, 3, generator=torch.Generator().manual_seed(2)) * 1e-3,
    "zeros": torch.zeros(64, 64),
    "small": torch.randn(8, 8),
    "bias": torch.randn(FEWEST),
    "numbers": torch.arange(2 * FEWEST).view(2, -1),
    "spoiled": torch.full((64, 64), torch.nan),
}


def test_a_large_weight_is_off_by_half_a_level_of_its_row_at_most():
    again = restored(in_eight_bits(WEIGHTS))
    assert again.keys() == WEIGHTS.keys()
    for name in ("matrix", "filters", "zeros"):
        rows, theirs = again[name].flatten(1), WEIGHTS[name].flatten(1)
        assert ((rows - theirs).abs() <= theirs.abs().amax(1, keepdim=True) / 254 * 1.001).all(), name


def test_all_else_is_kept_as_it_is():
    again = in_eight_bits(WEIGHTS)
    for name in ("small", "bias", "numbers", "spoiled"):
        assert again[name] is WEIGHTS[name] and f"{name}{SCALE}" not in again


def test_what_was_never_in_eight_bits_comes_back_as_it_was():
    assert all(restored(WEIGHTS)[name] is tensor for name, tensor in WEIGHTS.items())


def test_a_bundle_in_eight_bits_is_nearly_the_same_model_in_less_room(tmp_path):
    whole, small = saved_model(tmp_path / "whole"), saved_model(tmp_path / "small", half=True, eight_bit=True)
    assert (small / "weights.safetensors").stat().st_size < (whole / "weights.safetensors").stat().st_size / 3
    first, second = tiny_bundle(), load_bundle(small)
    seen = torch.stack([first.encoder.read(picture) for picture in pictures(3)])
    with torch.inference_mode():
        one, other = (each.encoder.eval()(seen).tokens for each in (first, second))
    assert (one - other).norm() < 0.05 * one.norm()


def test_training_goes_on_from_a_bundle_in_eight_bits(tmp_path):
    small = saved_model(tmp_path / "small", eight_bit=True)
    own = {f"task.decoder.{name}" for name in tiny_bundle().task.decoder.state_dict()}
    assert own <= read_start(small).weights.keys()


def test_a_scale_that_is_not_that_of_its_weight_is_refused(tmp_path):
    small = saved_model(tmp_path / "small", eight_bit=True)
    weights = load_file(small / "weights.safetensors")
    name = next(name for name in weights if name.endswith(SCALE))
    save_file(weights | {name: weights[name][:-1].clone()}, small / "weights.safetensors")
    with pytest.raises(UserError, match="damaged"):
        load_bundle(small)
