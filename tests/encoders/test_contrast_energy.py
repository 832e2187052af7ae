"""What has an outline has the same energy in every colour; what is even has none; colour is seen apart from it."""

import pytest
import torch

from captioning.encoders.contrast_energy import FLOOR, ContrastConvolution, ContrastEnergy


def outline(colour: tuple[float, float, float], ground: float = 0.0) -> torch.Tensor:
    """A square of a colour on grey, (1, 3, 32, 32)."""
    maps = torch.full((1, 3, 32, 32), ground)
    maps[..., 8:20, 10:22] = torch.tensor(colour)[:, None, None]
    return maps


@pytest.mark.parametrize("colour", [(0.0, 3.0, 0.0), (0.0, 0.0, -3.0), (3.0, 3.0, 3.0), (1.0, 0.2, -2.0)])
def test_outlines_have_the_same_energy_in_every_colour_but_for_a_factor(colour):
    torch.manual_seed(0)
    energy = ContrastEnergy(6)
    red, other = (energy(outline(each)).exp() - FLOOR for each in ((3.0, 0.0, 0.0), colour))
    torch.testing.assert_close(other, red * sum(c**2 for c in colour) / 9, atol=1e-4, rtol=1e-4)


def test_even_ground_has_no_energy_whatever_its_colour():
    energy = ContrastEnergy(6)(outline((1.5, 1.5, 1.5), ground=1.5).expand(2, -1, -1, -1))
    inside = energy[..., 2:-2, 2:-2]  # beyond the edge there is nothing, which is a contrast
    torch.testing.assert_close(inside, torch.full_like(inside, FLOOR).log(), atol=1e-4, rtol=0)


def test_colours_are_seen_where_there_is_no_outline_and_outlines_where_colour_does_not_count():
    torch.manual_seed(0)
    encoder = ContrastConvolution(size=32, widths=(8, 16)).eval()
    red, blue = (
        torch.tensor(c, dtype=torch.uint8)[None, :, None, None].expand(1, 3, 32, 32) for c in ((255, 0, 0), (0, 0, 255))
    )
    assert (encoder(red).tokens - encoder(blue).tokens).abs().max() > 1e-3
    torch.nn.init.zeros_(encoder.colour.weight)
    noise = torch.randint(0, 255, (1, 1, 32, 32), dtype=torch.uint8).expand(1, 3, 32, 32)
    there = encoder(noise).tokens
    assert (there - encoder(red).tokens).abs().max() > 1e-3
    swapped = torch.stack([noise[0, 0], noise[0, 0].flip(0), noise[0, 0].flip(1)])[None]
    torch.testing.assert_close(encoder(swapped).tokens, encoder(swapped.flip(1)).tokens)
