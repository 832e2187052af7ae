"""One network for every sense: a batch is its parts, places are told apart, and impossible sizes are named."""

import numpy as np
import pytest
import torch
from tiny_model import pictures

from captioning.encoders.contrast_energy import ContrastConvolution
from captioning.encoders.convolutional import ClipConvolution, DepthEncoder, PictureConvolution, SoundEncoder
from captioning.errors import UserError
from captioning.media.clip import Clip
from captioning.media.depth_map import DepthMap
from captioning.media.sound import Sound

NOISE = np.random.default_rng(0)
CASES = {
    "picture": (PictureConvolution(size=32, widths=(8, 16)), pictures(3), 64),
    "contrast": (ContrastConvolution(size=32, widths=(8, 16)), pictures(3), 64),
    "depth": (DepthEncoder(size=32, widths=(8, 16)), [DepthMap.of(NOISE.uniform(0, 9, (20, 30))) for _ in "abc"], 64),
    "sound": (
        SoundEncoder(seconds=0.4, bins=16, step=0.02, widths=(8, 16)),
        [Sound.of(NOISE.uniform(-1, 1, 9000), 16_000) for _ in "abc"],
        20,
    ),
    "clip": (
        ClipConvolution(frames=3, size=16, widths=(8, 16)),
        [Clip.of(NOISE.integers(0, 255, (n, 20, 20, 3), dtype=np.uint8), fps=4.0) for n in (2, 3, 9)],
        16,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_its_parts_and_has_a_token_a_cell(name):
    encoder, inputs, cells = CASES[name]
    readings = [encoder.read(each) for each in inputs]
    memory = encoder(encoder.collate(readings))
    assert memory.tokens.shape == (3, cells, 16) and memory.mask.all() and encoder.width == 16
    for i, reading in enumerate(readings):
        torch.testing.assert_close(
            encoder(encoder.collate([reading])).pooled[0], memory.pooled[i], atol=1e-5, rtol=1e-4
        )
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    frozen = type(encoder)(finetune=False)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert not frozen(frozen.collate([frozen.read(inputs[0])])).tokens.requires_grad


def test_where_something_is_changes_the_tokens_mean():
    encoder = PictureConvolution(size=32, widths=(8, 16))
    torch.nn.init.normal_(encoder.places)
    dot = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    dot[..., 8:12, 8:12] = 255
    there = encoder(dot).pooled - encoder(dot.roll(16, -1)).pooled
    assert there.abs().max() > 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PictureConvolution(widths=(7,)), "divides"),
        (lambda: PictureConvolution(size=8, widths=(8,) * 4), "halved 4 times"),
        (lambda: SoundEncoder(bins=1), "bins=1"),
        (lambda: ClipConvolution(frames=1), "frames=1"),
    ],
)
def test_impossible_sizes_are_named(make, message):
    with pytest.raises(UserError, match=message):
        make()
