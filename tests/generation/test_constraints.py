"""Laws of what may not be said."""

from functools import partial

import pytest
import torch
from table_decoder import TableDecoder

from captioning.errors import UserError
from captioning.generation.beam import beam, diverse_beam
from captioning.generation.greedy import greedy
from captioning.generation.sampling import sample
from captioning.text.vocabulary import EOS

STRATEGIES = {
    "greedy": greedy,
    "beam": partial(beam, beam_size=4, num_captions=2, length_normalisation="average"),
    "diverse beam": partial(diverse_beam, beam_size=4, groups=2, num_captions=2),
    "sampling": partial(sample, num_samples=6, temperature=2.0, seed=0),
}


@pytest.fixture(params=STRATEGIES.values(), ids=STRATEGIES)
def captions(request, any_case):
    """Captions under some options, as lists of words without their end."""

    def generate(**options) -> list[list[int]]:
        found = request.param(any_case.decoder, any_case.context(), **options)
        return [[word for word in caption if word > EOS] for caption in found.words.flatten(0, 1).tolist()]

    return generate


@pytest.mark.parametrize("size", [1, 2, 3])
def test_blocked_ngrams_are_not_said_twice(captions, size):
    for caption in captions(block_ngrams=size, min_words=10, max_words=12):
        ngrams = list(zip(*(caption[start:] for start in range(size)), strict=False))
        assert len(set(ngrams)) == len(ngrams)


def test_no_word_comes_twice_in_a_row(captions):
    for caption in captions(block_repeats=True, min_words=10, max_words=12):
        assert all(word != after for word, after in zip(caption, caption[1:], strict=False))


def test_a_caption_has_as_many_words_as_it_must_and_may(captions):
    assert all(4 <= len(caption) <= 6 for caption in captions(min_words=4, max_words=6))


@pytest.mark.parametrize("max_words", [3, 20])
def test_no_caption_ends_with_a_forbidden_ending_cut_or_not(captions, max_words):
    endings = list(range(4, 20))
    assert all(caption[-1] not in endings for caption in captions(forbidden_endings=endings, max_words=max_words))


def test_forbidden_words_are_never_said(captions):
    assert not any(set(caption) & {4, 5, 6, 7} for caption in captions(forbidden_words=[4, 5, 6, 7]))


def test_every_caption_begins_with_the_forced_prefix_whatever_else_is_asked(captions):
    prefix = [9, 9, 5]
    for caption in captions(forced_prefix=prefix, block_repeats=True, forbidden_words=[5], max_words=8):
        assert caption[:3] == prefix and 5 not in caption[3:]


def test_options_hold_together(captions):
    options = {"min_words": 5, "max_words": 8, "block_ngrams": 1, "forbidden_endings": [4, 5], "forbidden_words": [6]}
    for caption in captions(forced_prefix=[7], **options):
        assert 5 <= len(caption) <= 8 and len(set(caption)) == len(caption)
        assert caption[0] == 7 and caption[-1] not in (4, 5) and 6 not in caption


def test_a_constraint_of_ones_own_is_obeyed(captions):
    class OnlyEven:
        def forbid(self, logits, words):
            logits[..., 5::2] = -torch.inf

    assert all(word % 2 == 0 for caption in captions(constraints=[OnlyEven()]) for word in caption)


@pytest.mark.parametrize("generate", STRATEGIES.values(), ids=STRATEGIES)
def test_where_no_word_is_left_the_caption_ends(generate):
    decoder = TableDecoder(7)  # three words
    found = generate(decoder, decoder.prepare(torch.arange(4)), block_ngrams=1, min_words=10)
    for caption in found.words[found.scores.isfinite()].tolist():
        assert sorted(caption) == [EOS, 4, 5, 6] and caption[-1] == EOS


@pytest.mark.parametrize("generate", STRATEGIES.values(), ids=STRATEGIES)
def test_an_empty_caption_is_only_said_where_nothing_else_can_be(generate):
    decoder = TableDecoder(7)
    decoder.table[:, EOS] = 30.0
    context = decoder.prepare(torch.arange(4))
    assert (generate(decoder, context).words[..., 0] > EOS).all()
    silent = generate(decoder, context, forbidden_words=[4, 5, 6])
    assert (silent.words[..., 0][silent.scores.isfinite()] == EOS).all()


WRONG = [
    ({"min_words": 0}, "min_words"),
    ({"min_words": 9, "max_words": 8}, "min_words"),
    ({"block_ngrams": -1}, "block_ngrams"),
    ({"forced_prefix": [5] * 20}, "forced_prefix"),
    ({"forced_prefix": [0]}, "forced_prefix"),
    ({"forbidden_words": [2]}, "forbidden_words"),
    ({"forbidden_words": ["dog"]}, "'dog'"),
    ({"forbidden_endings": [400]}, "400"),
    ({"bean_size": 3}, "bean_size"),
]


@pytest.mark.parametrize(("options", "named"), WRONG, ids=lambda value: str(value))
@pytest.mark.parametrize("generate", STRATEGIES.values(), ids=STRATEGIES)
def test_an_option_that_makes_no_sense_is_a_clear_error(table_case, generate, options, named):
    with pytest.raises(UserError, match=named):
        generate(table_case.decoder, table_case.context(), **options)


def called(value) -> str:
    """A strategy's name, or the beginning of its options."""
    return getattr(value, "__name__", str(value)[:40])


MEANINGLESS = [
    (greedy, {"beam_size": 5}),
    (greedy, {"seed": 1}),
    (beam, {"groups": 2}),
    (beam, {"temperature": 0.5}),
    (diverse_beam, {"num_samples": 5}),
    (sample, {"groups": 2}),
    (sample, {"length_normalisation": "average"}),
]


@pytest.mark.parametrize(
    ("generate", "options"), MEANINGLESS, ids=lambda value: getattr(value, "__name__", str(value)[:30])
)
def test_an_option_of_another_strategy_is_refused_with_the_reason(table_case, generate, options):
    with pytest.raises(UserError, match="has no meaning for"):
        generate(table_case.decoder, table_case.context(), **options)


OUT_OF_RANGE = [
    (beam, {"beam_size": 0}),
    (beam, {"num_captions": 0}),
    (beam, {"num_captions": 6}),
    (beam, {"length_normalisation": "median"}),
    (beam, {"length_normalisation": "gnmt", "alpha": -1}),
    (diverse_beam, {"groups": 4}),
    (diverse_beam, {"groups": 0}),
    (diverse_beam, {"diversity": -1}),
    (sample, {"num_samples": 0}),
    (sample, {"temperature": 0}),
    (sample, {"top_k": -1}),
    (sample, {"top_p": 0}),
    (sample, {"top_p": 1.5}),
    (sample, {"seed": [1, 2]}),
    (sample, {"seed": 1, "generator": torch.Generator()}),
]


@pytest.mark.parametrize(
    ("generate", "options"), OUT_OF_RANGE, ids=lambda value: getattr(value, "__name__", str(value)[:40])
)
def test_a_number_out_of_range_is_a_clear_error(table_case, generate, options):
    with pytest.raises(UserError, match="generation"):
        generate(table_case.decoder, table_case.context(), **options)
