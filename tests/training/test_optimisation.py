"""Rates over time, and which weights learn."""

import math

import pytest
import torch
from test_self_critical import decoder
from test_train import DECODERS, configuration, weights
from torch import nn

from captioning.training import schedules
from captioning.training.parameter_groups import parameter_groups
from captioning.training.train import train

TOTAL, PER_EPOCH = 60, 10


def rates(schedule, **options) -> list[float]:
    """The rate of each step of a run, for an optimiser of rate 2."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler, found = schedule(optimizer, TOTAL, PER_EPOCH, **options), []
    for _ in range(TOTAL):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_a_step_schedule_falls_by_its_factor_every_so_many_epochs():
    expected = [2 * 0.8 ** (step // 30) for step in range(TOTAL)]
    assert rates(schedules.step, every=3, factor=0.8) == pytest.approx(expected)


def test_noam_is_the_formula_of_the_paper():
    width, warmup = 512, 20
    peak = (width * warmup) ** -0.5
    expected = [width**-0.5 * min((s + 1) ** -0.5, (s + 1) * warmup**-1.5) / peak * 2 for s in range(TOTAL)]
    assert rates(schedules.noam, warmup_steps=warmup) == pytest.approx(expected)


def test_a_cosine_rises_falls_and_ends_near_its_floor():
    found = rates(schedules.warmup_cosine, warmup=0.1, floor=0.1)
    assert found[:7] == pytest.approx([2 * (step + 1) / 6 for step in range(6)] + [2.0])
    assert found[33] == pytest.approx(2 * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 2))))
    assert found == found[:6] + sorted(found[6:], reverse=True) and found[-1] > 0.2


def test_a_constant_rate_is_constant_after_its_warm_up():
    assert rates(schedules.constant) == [2.0] * TOTAL
    assert rates(schedules.constant, warmup=0.5)[29:] == [2.0] * 31


def test_on_a_plateau_of_cider_the_rate_falls():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = schedules.plateau(optimizer, TOTAL, PER_EPOCH, factor=0.5, patience=1)
    found = []
    for cider in (10, 20, 30, 29, 30, 28, 40):
        scheduler.step(cider)
        found.append(optimizer.param_groups[0]["lr"])
    assert found == [2, 2, 2, 2, 1, 1, 1]


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_biases_norms_and_embeddings_do_not_decay_and_no_weight_is_left_out(kind):
    model = decoder(kind)
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, free = ([names[id(p)] for p in group["params"]] for group in parameter_groups(model, lr=0.5))
    assert sorted(decayed + free) == sorted(names.values())
    assert not any("bias" in name or "norm" in name or "embed" in name for name in decayed)
    assert [group.get("weight_decay") for group in parameter_groups(model)] == [None, 0.0]
    model.requires_grad_(False)
    assert parameter_groups(model) == []


def test_an_encoder_is_frozen_until_its_epoch(tmp_path):
    options = ["encoder.finetune=true", "encoder_lr=0.1", *DECODERS["show_and_tell"], "schedule=plateau"]
    found = {}
    for first in (0, 1, 2):
        late = ["trainer.max_epochs=2", f"finetune_from_epoch={first}"]
        train(configuration(*options, *late, "data.train=8"), tmp_path / str(first))
        state = weights(tmp_path / str(first))
        found[first] = torch.cat(
            [t.flatten() for name, t in state.items() if name.startswith("encoder.") and t.is_floating_point()]
        )
    from hydra.utils import instantiate

    torch.manual_seed(3)
    fresh = instantiate(configuration().encoder).state_dict()
    unchanged = torch.cat([tensor.flatten() for tensor in fresh.values() if tensor.is_floating_point()])
    assert torch.equal(found[2], unchanged)
    assert not torch.equal(found[1], unchanged) and not torch.equal(found[0], found[1])
