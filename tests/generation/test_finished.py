"""What becomes of hypotheses that are finished: the search does what a search in plain Python does."""

import pytest
import torch
from table_decoder import TableDecoder

from captioning.errors import UserError
from captioning.generation.beam import beam, diverse_beam, norms
from captioning.generation.greedy import greedy
from captioning.text.vocabulary import BOS, EOS, PAD, UNK

RULES = ["keep", "release", "aside"]
LONGEST = 6


def plain_search(decoder, image: torch.Tensor, width: int, rule: str, divisors: list[float]) -> list[list[int]]:
    """The captions that a beam of one image finishes, best first."""
    context, beams, ended, holding = decoder.prepare(image), [((), 0.0)], [], []
    for step in range(LONGEST):
        candidates = []
        for words, score in beams:
            said = torch.tensor([BOS, *words]).view(1, 1, -1)
            following = decoder(context, said)[0, 0, -1].log_softmax(-1)
            for word in [EOS, *range(UNK + 1, len(following))] if step else range(UNK + 1, len(following)):
                candidates.append(((*words, word), score + float(following[word])))
        if rule == "keep":
            candidates += holding
        candidates.sort(key=lambda each: -each[1])
        best = candidates[:width]
        done = [each for each in best if each not in holding and (each[0][-1] == EOS or step == LONGEST - 1)]
        going = [each for each in (candidates if rule == "aside" else best) if each[0][-1] != EOS]
        if step == LONGEST - 1 and rule == "aside":
            done = best
        ended += [(score / divisors[len(words)], words) for words, score in done]
        holding = [each for each in best if each[0][-1] == EOS]
        beams = going[:width]
    return [list(words) for _, words in sorted(ended, key=lambda each: -each[0])]


@pytest.mark.parametrize("normalisation", ["none", "average", "gnmt"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_beam_finishes_what_a_plain_search_finishes(rule, width, normalisation):
    decoder = TableDecoder(12, spread=1.0, seed=3)
    images, divisors = torch.arange(12) * 7, norms(normalisation, 2.0, LONGEST)
    options = {"length_normalisation": normalisation, "alpha": 2.0, "finished": rule, "max_words": LONGEST}
    found = beam(decoder, decoder.prepare(images), beam_size=width, num_captions=width, **options).words
    for image, ours in zip(images, found.tolist(), strict=True):
        plain = plain_search(decoder, image[None], width, "keep" if width == 1 else rule, divisors)[:width]
        assert [[i for i in words if i != PAD] for words in ours][: len(plain)] == plain


def test_what_finishes_early_crowds_out_nothing_that_a_normalised_score_prefers():
    decoder = TableDecoder(12, spread=1.0, seed=3)
    context = decoder.prepare(torch.arange(60) * 7)
    options = {"length_normalisation": "average", "max_words": 9}
    kept, released, aside = (beam(decoder, context, finished=rule, **options).scores[:, 0] for rule in RULES)
    assert released.mean() > kept.mean() and aside.mean() > kept.mean()


@pytest.mark.parametrize("rule", RULES)
def test_one_hypothesis_is_greedy_search_whatever_becomes_of_finished_ones(rule):
    decoder = TableDecoder(30, spread=1.0)
    context = decoder.prepare(torch.arange(20))
    one = beam(decoder, context, beam_size=1, finished=rule)
    assert torch.equal(one.words, greedy(decoder, context).words)


@pytest.mark.parametrize("rule", RULES)
def test_groups_and_forced_words_go_with_every_rule(rule):
    decoder = TableDecoder(12, spread=1.0)
    context = decoder.prepare(torch.arange(9))
    words = diverse_beam(decoder, context, finished=rule, num_captions=3, max_words=7).words
    assert words.shape[:2] == (9, 3) and len({tuple(each) for each in words[0].tolist()}) == 3
    forced = beam(decoder, context, finished=rule, forced_words=[[5], [6, 7]], max_words=7).words[:, 0]
    assert all(5 in each and {6, 7} & set(each) for each in forced.tolist())


def test_another_rule_is_refused():
    decoder = TableDecoder(12)
    with pytest.raises(UserError, match="keep, release, aside"):
        beam(decoder, decoder.prepare(torch.arange(2)), finished="drop")
