"""What counts most in an image is among what is said of it, where a search is told to insist."""

import pytest
import torch
from small import assert_same, build, memory

from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.consensus import consensus
from captioning.generation.naming import with_the_weightiest_named
from captioning.text.concepts import concepts

DOG, CAT = (list(concepts()).index(name) for name in ("dog", "cat"))
SEARCH = {"max_words": 6, "min_words": 3}


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def prepared(weights=(0.9, 0.1, 0.0), threshold=9.0):
    """A decoder and its context of three images, in which a dog counts so much."""
    decoder = build("gated")
    decoder.threshold = threshold
    context = decoder.prepare(memory("concepts"))
    context.own.own.weight[:] = 0.0
    context.own.own.weight[:, 0] = 1.0  # a person is nothing to insist on
    context.own.own.weight[:, DOG] = torch.tensor(weights)
    return decoder, context, decoder.decoder.decoder, context.own.own


def candidates(decoder, context):
    return beam(decoder, context, beam_size=4, num_captions=4, **SEARCH)


def without_dogs(words, inner):
    ids = {word for phrase in inner.phrases_of(DOG) for word in phrase}
    return words.masked_fill(torch.isin(words, torch.tensor(sorted(ids))), 4)


def test_it_is_named_by_the_added_candidates_of_images_where_it_counts_enough_and_no_others():
    decoder, context, inner, believed = prepared()
    found = candidates(decoder, context)
    words = without_dogs(found.words, inner)
    more, scores = with_the_weightiest_named(
        decoder, context, words, found.scores, inner, believed, least=0.5, beam_size=3, **SEARCH
    )
    assert more.shape[1] == 7 and inner.names_any(more, torch.full((3,), DOG)).tolist() == [True, False, False]
    assert (scores[1:, 4:] == -torch.inf).all() and scores[0, 4:].isfinite().any()
    assert_same(scores[:, :4], found.scores)
    for ids, score in zip(more[0, 4:].tolist(), scores[0, 4:].tolist(), strict=True):
        assert score == -torch.inf or any(DOG in names for names in inner.mentions(ids))


def test_where_it_is_named_already_or_counts_too_little_nothing_is_added():
    decoder, context, inner, believed = prepared()
    found = candidates(decoder, context)
    (dog,) = [list(phrase) for phrase in inner.phrases_of(DOG) if len(phrase) == 1][:1]
    said = found.words.clone()
    said[:, 0, 0] = dog[0]
    for words, least in ((said, 0.5), (without_dogs(found.words, inner), 0.95)):
        args = (decoder, context, words, found.scores, inner, believed)
        same, scores = with_the_weightiest_named(*args, least=least, beam_size=3, **SEARCH)
        assert same is words and scores is found.scores


def test_two_that_count_are_named_by_one_caption_if_they_are_to_be_named_together():
    decoder, context, inner, believed = prepared((0.9, 0.9, 0.1))
    believed.weight[:, CAT] = torch.tensor([0.8, 0.1, 0.1])
    found = candidates(decoder, context)
    args = (decoder, context, without_dogs(found.words, inner), found.scores, inner, believed)
    more, scores = with_the_weightiest_named(*args, least=0.5, beam_size=3, together=True, **SEARCH)
    assert more.shape[1] == 7 and (scores[2, 4:] == -torch.inf).all()
    for image, kinds in ((0, (DOG, CAT)), (1, (DOG,))):
        added = more[image, 4:][scores[image, 4:] > -torch.inf].tolist()
        assert added and all(inner.names_all(ids, kinds) for ids in added)


def test_consensus_names_it_where_naming_is_worth_it_and_says_of_other_images_what_it_said():
    decoder, context, inner, _ = prepared()
    options = {"beam_size": 6, "weight": 0.0, "concept_weight": 0.0, **SEARCH}
    usual = consensus(decoder, context, **options)
    ours = consensus(decoder, context, insist=0.5, naming=1000.0, **options)
    assert inner.names_any(ours.words[:1], torch.tensor([DOG])).all()
    length = min(usual.words.shape[-1], ours.words.shape[-1])
    assert_same(ours.words[2, :, :length], usual.words[2, :, :length])


@pytest.mark.parametrize(("insist", "named"), [(0.1, True), (0.25, False), (None, False)])
def test_what_is_insisted_on_gains_by_its_name_though_it_counts_little(insist, named):
    decoder, context, inner, believed = prepared((0.2, 0.2, 0.2))
    options = {"beam_size": 6, "weight": 0.0, "concept_weight": 0.0, **SEARCH}
    ours = consensus(decoder, context, insist=insist, naming=1000.0, **options)
    usual = consensus(decoder, context, insist=insist, **options)
    assert bool((ours.scores[:, 0] > usual.scores[:, 0] + 1).all()) == named
    assert_same(inner.salience(believed, ours.words, 0.1)[:, 0], torch.full((3,), 0.2 if named else 0.0))


def test_a_number_to_insist_on_is_one():
    decoder, context, *_ = prepared()
    with pytest.raises(UserError, match="insist"):
        consensus(decoder, context, insist="much")
