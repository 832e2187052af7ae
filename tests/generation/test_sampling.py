"""Laws of sampling."""

import pytest
import torch
from table_decoder import TableDecoder

from captioning.generation.greedy import greedy
from captioning.generation.sampling import pick, sample
from captioning.text.vocabulary import BOS, EOS, PAD, UNK

DRAWS = 20_000


def first_words(probabilities: torch.Tensor, **options) -> torch.Tensor:
    """How often each word was the first, of captions of one word."""
    decoder = TableDecoder(len(probabilities))
    decoder.table[:] = probabilities.log()
    context = decoder.prepare(torch.zeros(1, dtype=torch.long))
    words = sample(decoder, context, num_samples=DRAWS, max_words=1, seed=0, **options).words.flatten()
    return words.bincount(minlength=len(probabilities)) / DRAWS


def expected(probabilities: torch.Tensor) -> torch.Tensor:
    said = probabilities.clone()
    said[[PAD, BOS, EOS, UNK]] = 0
    return said / said.sum()


PROBABILITIES = torch.tensor([0.1, 0.05, 0.1, 0.05, 0.3, 0.2, 0.12, 0.05, 0.02, 0.01])


def assert_frequencies(got: torch.Tensor, wanted: torch.Tensor) -> None:
    assert ((got - wanted).abs() < 4 * (wanted * (1 - wanted) / DRAWS).sqrt() + 1e-9).all()


def test_frequencies_match_the_distribution_without_what_is_never_said():
    assert_frequencies(first_words(PROBABILITIES), expected(PROBABILITIES))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_is_a_power_of_the_probabilities(temperature):
    assert_frequencies(
        first_words(PROBABILITIES, temperature=temperature), expected(PROBABILITIES ** (1 / temperature))
    )


def test_top_k_leaves_the_likeliest_words():
    assert_frequencies(
        first_words(PROBABILITIES, top_k=3), expected(PROBABILITIES.where(PROBABILITIES >= 0.12, torch.tensor(0.0)))
    )


def test_the_nucleus_is_the_fewest_words_that_hold_top_p():
    # without specials: 0.43, 0.29, 0.17, 0.07, 0.03, 0.01
    for top_p, smallest in [(0.4, 0.3), (0.5, 0.2), (0.8, 0.12), (0.95, 0.05)]:
        kept = PROBABILITIES.where(PROBABILITIES >= smallest, torch.tensor(0.0))
        assert_frequencies(first_words(PROBABILITIES, top_p=top_p), expected(kept))


def test_the_nucleus_is_taken_of_what_top_k_leaves():
    kept = PROBABILITIES.where(PROBABILITIES >= 0.2, torch.tensor(0.0))
    assert_frequencies(first_words(PROBABILITIES, top_k=3, top_p=0.75), expected(kept))


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}], ids=str)
def test_sampling_with_no_freedom_is_greedy_search(any_case, options):
    context = any_case.context()
    words = sample(any_case.decoder, context, num_samples=2, **options).words
    assert (words == greedy(any_case.decoder, context).words).all()


def test_words_of_probability_zero_are_never_drawn():
    logits = torch.full((1, 1, 50), -torch.inf)
    logits[..., 20:30] = torch.linspace(-3, 3, 10)
    ends = torch.tensor([0.0, 1e-9, 0.5, 1 - 2**-24])
    for scale in (1.0, 3.0, 1e3):
        drawn = pick((logits * scale).expand(1, 4, -1), ends[None], 1.0, 0, 1.0)
        assert ((drawn >= 20) & (drawn < 30)).all()


def test_another_seed_gives_other_samples(any_case):
    context = any_case.context()
    first, second = (sample(any_case.decoder, context, num_samples=20, seed=seed).words for seed in (1, 2))
    assert first.shape != second.shape or not torch.equal(first, second)


def test_fewer_samples_are_the_first_of_more(any_case):
    context = any_case.context()
    few, many = (sample(any_case.decoder, context, num_samples=number, seed=3).words for number in (2, 6))
    assert torch.equal(few, many[:, :2, : few.shape[-1]])


def test_an_images_samples_depend_on_its_own_seed_alone(any_case):
    seeds = [11, 12, 13, 14, 15]
    together = sample(any_case.decoder, any_case.context(), num_samples=3, seed=seeds).words
    alone = sample(any_case.decoder, any_case.of([3]).context(), num_samples=3, seed=[14]).words
    assert torch.equal(alone[0], together[3, :, : alone.shape[-1]])


def test_a_generator_goes_on_and_images_are_independent():
    decoder = TableDecoder(50)
    context = decoder.prepare(torch.zeros(8, dtype=torch.long))  # the same image eight times
    draw = lambda generator: sample(decoder, context, generator=generator).words  # noqa: E731
    generator = torch.Generator().manual_seed(4)
    first, second = draw(generator), draw(generator)
    assert len(first.flatten(1).unique(dim=0)) > 1
    assert first.shape != second.shape or not torch.equal(first, second)
    assert torch.equal(first, draw(torch.Generator().manual_seed(4)))
