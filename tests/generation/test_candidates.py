"""Laws of choosing the best words."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captioning.generation.candidates import best_positions, best_words


@settings(max_examples=100, deadline=None)
@given(
    size=st.integers(1, 900),
    count=st.integers(1, 20),
    seed=st.integers(0, 1000),
    coarse=st.sampled_from([0.5, 3.0, 1e6]),
    forbidden=st.floats(0, 1),
)
def test_the_best_words_are_those_of_a_stable_sort(size, count, seed, coarse, forbidden):
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(2, 3, size, generator=generator) * coarse).round()
    logits[torch.rand(logits.shape, generator=generator) < forbidden] = -torch.inf
    count = min(count, size)
    values, ids = best_words(logits, count)
    expected, order = logits.sort(dim=-1, descending=True, stable=True)
    assert torch.equal(values, expected[..., :count])
    assert torch.equal(ids, order[..., :count])


def test_positions_are_ordered_over_the_whole_range_of_floats():
    values = torch.tensor([0.0, -0.0, 1e-45, -1e-45, torch.inf, -torch.inf, 3e38, -3e38, 1.0, -1.0])
    assert best_positions(values, 10).tolist() == [4, 6, 8, 2, 0, 1, 3, 9, 7, 5]
