"""Laws of forced words."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table_decoder import TableDecoder

from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.forced import ForcedWords, as_phrases
from captioning.generation.greedy import greedy
from captioning.generation.sampling import sample

CPU = torch.device("cpu")
DEMANDS = [
    [7],
    [7, 8, 9],
    [[7, 8]],
    [[[7, 8, 9]]],
    [[[7, 8], 9], 10],
    [[[7, 8]], [[8, 7]]],
    [[[7, 7, 8]], 7],
    [[[7, 8, 9]], [[7, 10]]],
]


def says(caption: list[int], phrase: tuple[int, ...]) -> bool:
    return any(tuple(caption[start : start + len(phrase)]) == phrase for start in range(len(caption)))


@pytest.mark.parametrize("demands", DEMANDS, ids=str)
@pytest.mark.parametrize("beam_size", [1, 3])
def test_every_demand_is_met_in_every_caption(any_case, demands, beam_size):
    for max_words in (5, 9):
        found = beam(
            any_case.decoder,
            any_case.context(),
            beam_size=beam_size,
            num_captions=beam_size,
            forced_words=demands,
            max_words=max_words,
        )
        assert found.scores[:, 0].isfinite().all()
        for caption in found.words[found.scores.isfinite()].tolist():
            assert all(any(says(caption, phrase) for phrase in as_phrases(demand)) for demand in demands)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.lists(st.integers(4, 7), min_size=1, max_size=3), min_size=1, max_size=2), min_size=1, max_size=3
    ),
    st.lists(st.integers(4, 8), max_size=12),
)
def test_nothing_remains_exactly_when_every_demand_is_met(demands, caption):
    forced = ForcedWords(demands, CPU)
    state = 0
    for word in caption:
        kind = 1 + forced.words.tolist().index(word) if word in forced.words.tolist() else 0
        state = int(forced.table[state, kind])
    met = all(any(says(caption, phrase) for phrase in as_phrases(demand)) for demand in demands)
    assert (forced.remaining[state] == 0) == met


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.lists(st.integers(4, 7), min_size=1, max_size=3), min_size=1, max_size=2), min_size=1, max_size=3
    )
)
def test_from_everywhere_some_word_leaves_one_less_to_say(demands):
    forced = ForcedWords(demands, CPU)
    open_states = forced.remaining > 0
    nearest = forced.remaining[forced.table].amin(1)
    assert (nearest[open_states] <= forced.remaining[open_states] - 1).all()


def test_forcing_a_word_that_comes_anyway_costs_nothing(table_case):
    context = table_case.context()
    free = beam(table_case.decoder, context)
    for image, caption in enumerate(free.words[:, 0].tolist()):
        alone = table_case.of([image]).context()
        forced = beam(table_case.decoder, alone, forced_words=[caption[0]])
        assert forced.scores[0] >= free.scores[image] - 1e-5


def test_an_unlikely_word_is_worked_in_where_it_fits_best():
    decoder = TableDecoder(30)
    decoder.table[:, 7] -= 20.0
    decoder.table[300:310, 7] += 18.0
    context = decoder.prepare(torch.arange(30))
    found = beam(decoder, context, beam_size=8, forced_words=[7], max_words=8, details=True)
    costs = found.log_probabilities[found.words == 7]
    assert (found.words == 7).any(-1).all() and costs.max() > -10


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"forced_words": [2]}, "forced_words"),
        ({"forced_words": ["dog"]}, "word_ids"),
        ({"forced_words": [[]]}, "empty"),
        ({"forced_words": [5], "forbidden_words": [5]}, "forbidden_words"),
        ({"forced_words": [5, 6, 7], "max_words": 2}, "max_words"),
        ({"forced_words": [99]}, "99"),
        ({"forced_words": [[[5, 5]]], "block_repeats": True}, "relax"),
        ({"forced_words": list(range(4, 28)), "max_words": 40}, "too many"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_met_is_a_clear_error(table_case, options, named):
    with pytest.raises(UserError, match=named):
        beam(table_case.decoder, table_case.context(), **options)


@pytest.mark.parametrize("generate", [greedy, sample])
def test_only_beams_can_be_led_to_words(table_case, generate):
    with pytest.raises(UserError, match="forced_words has no meaning .* generation=beam"):
        generate(table_case.decoder, table_case.context(), forced_words=[5])


def test_each_image_says_what_is_forced_on_it_as_it_does_alone(any_case):
    context = any_case.context()
    of_each = [DEMANDS[i % len(DEMANDS)] for i in range(len(context))]
    options = {"beam_size": 3, "num_captions": 3, "max_words": 8}
    together = beam(any_case.decoder, context, forced_words_of=of_each, **options)
    for image, demands in enumerate(of_each):
        alone = beam(any_case.decoder, any_case.context().keep(torch.tensor([image])), forced_words=demands, **options)
        length = min(alone.words.shape[2], together.words.shape[2])
        assert torch.equal(alone.words[0, :, :length], together.words[image, :, :length])
        torch.testing.assert_close(alone.scores[0], together.scores[image])
