"""Dropout keeps the mean, drops the share it was told to, and draws what the seed says."""

import pytest
import torch

from captioning.layers.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_share_that_is_dropped_and_the_scale_of_the_rest(p, dtype):
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(400, 501, dtype=dtype))
    assert (dropped == 0).float().mean().item() == pytest.approx(p, abs=0.005)
    assert torch.allclose(dropped[dropped != 0].float(), torch.tensor(1 / (1 - p)), rtol=1e-2)


def test_gradients_pass_where_values_did():
    torch.manual_seed(0)
    x = torch.randn(7, 3, requires_grad=True)
    dropped = Dropout(0.5)(x)
    dropped.sum().backward()
    assert torch.equal(x.grad != 0, dropped != 0) and set(x.grad.unique().tolist()) == {0.0, 2.0}


def test_a_seed_decides_and_values_are_independent():
    drop, ones = Dropout(0.5), torch.ones(4, 20_000)
    torch.manual_seed(3)
    first = drop(ones)
    torch.manual_seed(3)
    assert torch.equal(drop(ones), first)
    assert not torch.equal(drop(ones), first)
    assert torch.corrcoef((first.view(-1, 4) > 0).float().T).fill_diagonal_(0).abs().max() < 0.03  # of one draw


@pytest.mark.parametrize("p, expected", [(0.0, 1.0), (1.0, 0.0)])
def test_nothing_and_everything(p, expected):
    assert torch.equal(Dropout(p)(torch.ones(5, 5)), torch.full((5, 5), expected))


def test_only_training_drops():
    x = torch.randn(3, 3)
    assert Dropout(0.9).eval()(x) is x
