"""Laws of beam search."""

from functools import partial
from itertools import product

import pytest
import torch
from table_decoder import TableDecoder

from captioning.generation import batch
from captioning.generation.beam import beam, diverse_beam, norms
from captioning.generation.constraints import Limits, Rules
from captioning.generation.greedy import greedy
from captioning.generation.search import Search
from captioning.text.vocabulary import BOS, EOS, PAD

NORMALISATIONS = ["none", "average", "gnmt"]
LONGEST = 4
WORDS = [4, 5, 6, 7]
WHOLE_TREE = len(WORDS) ** LONGEST * 2


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("options", [{}, {"min_words": 3, "block_ngrams": 1}], ids=["free", "constrained"])
def test_one_hypothesis_finds_what_greedy_search_finds(any_case, normalisation, options):
    context = any_case.context()
    one = beam(any_case.decoder, context, beam_size=1, length_normalisation=normalisation, max_words=9, **options)
    assert torch.equal(one.words, greedy(any_case.decoder, context, max_words=9, **options).words)


@pytest.mark.parametrize("rounded", [False, True], ids=["no ties", "ties"])
def test_one_hypothesis_breaks_ties_as_greedy_search_does(rounded):
    decoder = TableDecoder(150, spread=0.5, rounded=rounded)
    context = decoder.prepare(torch.arange(20))
    assert torch.equal(beam(decoder, context, beam_size=1).words, greedy(decoder, context).words)


def every_caption() -> torch.Tensor:
    """All captions of one to LONGEST words, (M, LONGEST)."""
    captions = []
    for length in range(1, LONGEST + 1):
        for said in product(WORDS, repeat=length):
            captions.append([*said, *([EOS] * (length < LONGEST)), *([PAD] * (LONGEST - length - 1))])
    return torch.tensor(captions)


def allowed(caption: list[int], limits: Limits) -> bool:
    """Whether the limits let a whole caption pass, asked word by word of a decoder that likes every word the same."""
    rules = Rules(limits, torch.device("cpu"))
    for step, word in enumerate(caption):
        logits = torch.zeros(1, 1, 8)
        rules.apply(logits, torch.tensor(caption[:step], dtype=torch.long).view(1, 1, -1))
        if word == PAD:
            break
        if logits[0, 0, word] == -torch.inf:
            return False
    return all(any(word in caption for word in demand) for demand in limits.forced_words)


LIMITS = {
    "free": {},
    "short and varied": {"min_words": 2, "block_repeats": True},
    "no word twice": {"block_ngrams": 1, "forbidden_endings": [5]},
    "forced": {"forced_words": [[6], [4, 7]]},
    "forced and varied": {"forced_words": [[6]], "block_repeats": True, "forced_prefix": [5], "forbidden_words": [4]},
}


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("spread", [0.5, 3.0])
def test_a_beam_as_wide_as_the_tree_finds_the_best_captions(normalisation, limits, spread):
    decoder = TableDecoder(8, spread=spread)
    context = decoder.prepare(torch.arange(6) * 11)
    captions = [c for c in every_caption().tolist() if allowed(c, Limits(max_words=LONGEST, **limits))]
    everything = torch.tensor(captions).expand(6, -1, -1)
    before = torch.cat([torch.full_like(everything[..., :1], BOS), everything[..., :-1]], -1)
    scores = decoder(context, before).log_softmax(-1).gather(-1, everything[..., None]).squeeze(-1)
    lengths = (everything != PAD).sum(-1)
    total = scores.masked_fill(everything == PAD, 0).sum(-1) / torch.tensor(norms(normalisation, 0.6, LONGEST))[lengths]
    best, order = total.topk(min(3, len(captions)))
    found = beam(
        decoder,
        context,
        beam_size=WHOLE_TREE,
        num_captions=len(best[0]),
        length_normalisation=normalisation,
        max_words=LONGEST,
        **limits,
    )
    torch.testing.assert_close(found.scores, best, atol=1e-5, rtol=1e-5)
    expected = everything.gather(1, order[..., None].expand(-1, -1, LONGEST))
    assert torch.equal(found.words, expected[..., : found.words.shape[-1]])


SEARCHES = {
    "beam": partial(beam, beam_size=4),
    "three captions": partial(beam, beam_size=5, num_captions=3),
    "forced words": partial(beam, beam_size=3, forced_words=[7, [8, 9]]),
    "groups": partial(diverse_beam, beam_size=6, groups=3, num_captions=3),
}


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_stopping_early_changes_no_answer(any_case, search, normalisation, monkeypatch):
    search = partial(search, length_normalisation=normalisation, max_words=9)
    case = any_case.in_double()
    stopped = search(case.decoder, case.context())
    monkeypatch.setattr(Search, "drop_hopeless", lambda self, scores, ended: scores)
    full = search(case.decoder, case.context())
    assert torch.equal(stopped.words, full.words) and torch.equal(stopped.scores, full.scores)


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_when_finished_images_leave_changes_no_answer(any_case, search, monkeypatch):
    context = any_case.context()
    first = search(any_case.decoder, context)
    for worth, steps in [(2.0, 1), (0.0, 3), (0.5, 7)]:
        monkeypatch.setattr(batch, "WORTH_LEAVING", worth)
        monkeypatch.setattr("captioning.generation.search.due", lambda step, device, steps=steps: step % steps == 0)
        again = search(any_case.decoder, context)
        assert torch.equal(first.words, again.words)
        torch.testing.assert_close(first.scores, again.scores, atol=1e-5, rtol=1e-5)


def test_an_image_stops_when_no_hypothesis_can_win(table_case):
    decoder = table_case.decoder
    decoder.table[:, EOS] = 12.0  # every caption ends as soon as it may
    steps = []
    step = decoder.step
    decoder.step = lambda *given: steps.append(given) or step(*given)
    found = beam(decoder, table_case.context(), max_words=50)
    assert len(steps) == 2 and found.words.shape[-1] == 2


def test_finished_images_leave_the_batch(table_case):
    decoder = table_case.decoder
    sizes = []
    step = decoder.step
    decoder.step = lambda context, *given: sizes.append(len(context)) or step(context, *given)
    beam(decoder, table_case.context(), max_words=30)
    assert sizes[0] == 5 and sizes[-1] < 5


def test_a_beam_that_is_cut_is_still_an_answer(any_case):
    found = beam(any_case.decoder, any_case.context(), num_captions=5, min_words=6, max_words=6)
    assert found.words.shape[-1] == 6 and (found.words > EOS).all()
    assert found.scores.isfinite().all()


def test_more_hypotheses_find_nothing_worse_on_the_whole(table_case):
    context = table_case.decoder.prepare(torch.arange(200))
    narrow, wide = (beam(table_case.decoder, context, beam_size=size).scores.mean() for size in (1, 10))
    assert wide > narrow


def test_captions_of_an_image_differ(any_case):
    found = beam(any_case.decoder, any_case.context(), num_captions=5, max_words=7)
    for captions in found.words.tolist():
        assert len(set(map(tuple, captions))) == 5


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_one_group_is_a_beam(any_case, normalisation):
    options = {"beam_size": 4, "num_captions": 4, "length_normalisation": normalisation, "max_words": 8}
    context = any_case.context()
    plain, one = (
        beam(any_case.decoder, context, **options),
        diverse_beam(any_case.decoder, context, groups=1, **options),
    )
    assert torch.equal(plain.words, one.words) and torch.equal(plain.scores, one.scores)


def test_groups_that_pay_nothing_find_the_same(any_case):
    context = any_case.context()
    small = beam(any_case.decoder, context, beam_size=2, max_words=8)
    groups = diverse_beam(any_case.decoder, context, beam_size=6, groups=3, diversity=0.0, num_captions=3, max_words=8)
    assert (groups.words == small.words).all()


def test_groups_that_pay_dearly_share_no_word_at_any_place(any_case):
    found = diverse_beam(
        any_case.decoder, any_case.context(), beam_size=3, groups=3, diversity=1e4, num_captions=3, max_words=6
    )
    for captions in found.words.tolist():
        for said in zip(*captions, strict=True):
            said = [word for word in said if word > EOS]
            assert len(set(said)) == len(said)


def test_groups_combine_with_forced_words(any_case):
    found = diverse_beam(
        any_case.decoder, any_case.context(), beam_size=4, groups=2, num_captions=2, forced_words=[7], max_words=6
    )
    assert (found.words == 7).any(-1).all()
