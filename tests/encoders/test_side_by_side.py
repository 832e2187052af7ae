"""Several backbones at one picture."""

import pytest
import torch
from tiny_model import pictures

from captioning.encoders.grid import GridEncoder
from captioning.encoders.side_by_side import SideBySide
from captioning.errors import UserError


def grid(size=64, **options):
    return GridEncoder(backbone="test_resnet", weights="none", size=size, **options)


def pair(**options):
    torch.manual_seed(5)
    return SideBySide(encoders=[grid(), grid()], **options).eval()


def batch(encoder):
    return encoder.collate([encoder.read(picture) for picture in pictures(3)])


def test_a_token_is_what_each_sees_in_its_cell():
    both = pair()
    memory = both(batch(both))
    one, other = (part(batch(both)) for part in both.encoders)
    assert both.width == memory.tokens.shape[-1] == one.tokens.shape[-1] + other.tokens.shape[-1]
    assert torch.equal(memory.tokens, torch.cat([one.tokens, other.tokens], -1))
    assert torch.equal(memory.pooled, torch.cat([one.pooled, other.pooled], -1))
    assert not torch.equal(one.tokens, other.tokens)


def test_frozen_unless_told_otherwise():
    assert not any(weight.requires_grad for weight in pair().parameters())
    assert all(weight.requires_grad for weight in pair(finetune=True).parameters())
    half = SideBySide(encoders=[grid(), grid(finetune=True)])
    assert half.finetune
    assert {weight.requires_grad for weight in half.encoders[0].parameters()} == {False}
    assert {weight.requires_grad for weight in half.encoders[1].parameters()} == {True}


def test_parts_look_at_equally_large_pictures():
    with pytest.raises(UserError, match="pictures of 64, 96 pixels"):
        SideBySide(encoders=[grid(64), grid(96)])


def test_parts_give_equally_many_cells():
    uneven = SideBySide(encoders=[grid(), grid(grid=1)])
    with pytest.raises(UserError, match="encoder.encoders.N.grid"):
        uneven(batch(uneven))


@pytest.mark.parametrize("parts", [[], ["tf_efficientnet_lite0"]])
def test_only_grids_stand_side_by_side(parts):
    with pytest.raises(UserError, match="a list of grid encoders"):
        SideBySide(encoders=parts)
