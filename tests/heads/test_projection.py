"""Vectors of one space have unit length whatever went in; padding is not seen; the temperature stays bounded."""

import pytest
import torch

from captioning.errors import UserError
from captioning.heads.projection import AttentionPool, Temperature, VisualProjection
from captioning.memory import VisualMemory


def memory(batch: int = 3, tokens: int = 5, width: int = 12, scale: float = 1.0) -> VisualMemory:
    torch.manual_seed(batch + tokens)
    x = scale * torch.randn(batch, tokens, width)
    return VisualMemory(x, torch.ones(batch, tokens, dtype=torch.bool), x.mean(1))


@pytest.mark.parametrize("heads", [0, 2])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_projection_has_unit_length_at_any_scale_of_the_encoder(heads, scale):
    head = VisualProjection(visual_width=12, width=8, heads=heads).eval()
    found = head(memory(scale=scale))
    assert found.shape == (3, 8)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3))


@pytest.mark.parametrize("heads", [0, 2])
def test_padding_and_other_images_change_nothing(heads):
    head = VisualProjection(visual_width=12, width=8, heads=heads).eval()
    seen = memory()
    stacked = VisualMemory.stack([seen, memory(2, 9)])
    torch.testing.assert_close(head(stacked)[:3], head(seen))


def test_attention_pools_what_it_scores_highest():
    pool = AttentionPool(4, 4, heads=2)
    torch.nn.init.eye_(pool.values.weight), torch.nn.init.zeros_(pool.values.bias)
    torch.nn.init.zeros_(pool.scores.weight)
    x, mask = torch.randn(1, 3, 4), torch.tensor([[True, True, False]])
    torch.testing.assert_close(pool(x, mask), x[:, :2].mean(1))
    with torch.no_grad():  # the first head looks for the first number, the second for its opposite
        pool.scores.weight[0, 0], pool.scores.weight[1, 0] = 1e4, -1e4
    high, low = x[0, :2, 0].argmax(), x[0, :2, 0].argmin()
    torch.testing.assert_close(pool(x, mask)[0], torch.cat([x[0, high, :2], x[0, low, 2:]]))


def test_the_temperature_never_leaves_its_bound_and_comes_back():
    temperature = Temperature()
    assert temperature().item() == pytest.approx(1 / 0.07)
    step = torch.optim.SGD(temperature.parameters(), lr=10.0)
    for direction in (-1, -1, -1):
        step.zero_grad()
        (direction * temperature()).backward()
        step.step()
        assert float(temperature().detach()) <= 100 * (1 + 1e-6)
    step.param_groups[0]["lr"] = 0.01
    step.zero_grad()
    temperature().backward()
    step.step()
    assert float(temperature().detach()) < 99


def test_impossible_options_are_named():
    with pytest.raises(UserError, match="heads"):
        AttentionPool(4, 6, heads=4)
    with pytest.raises(UserError, match="temperature"):
        Temperature(start=0.001)
