"""Familiar photos get the words of the one decoder, all others those of the other, each whatever its company."""

from dataclasses import replace

import pytest
import torch
from small import CONCEPTS, SIZES, VISUAL_WIDTH, VOCABULARY, assert_same, build, captions, memory, of

from captioning.decoders.routed import RoutedDecoder
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.consensus import consensus
from captioning.text.vocabulary import UNK


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def decided(threshold):
    decoder = build("routed")
    decoder.threshold = threshold
    return decoder


def seen():
    return memory("concepts")


def test_a_familiar_photo_gets_the_words_of_the_first_decoder_and_no_others():
    decoder, words = decided(-2.0), captions()
    logits = decoder(decoder.prepare(seen()), words)
    plain = replace(seen(), mask=seen().mask & (seen().classes < 0), classes=None, scores=None)
    known = decoder.known
    theirs = known(known.prepare(plain), torch.where(words < decoder.known_words, words, UNK))
    assert_same(logits[..., : decoder.known_words], theirs)
    assert (logits[..., decoder.known_words :] == -torch.inf).all()


def test_an_unfamiliar_photo_gets_the_words_of_the_second():
    decoder, words = decided(2.0), captions()
    assert_same(decoder(decoder.prepare(seen()), words), decoder.other(decoder.other.prepare(seen()), words))


def test_each_image_goes_its_own_way_in_a_batch():
    decoder = build("routed")
    likeness = decoder.prepare(seen()).known.likeness
    decoder.threshold = float(likeness.sort().values[:2].mean())
    context = decoder.prepare(seen())
    assert 0 < int(context.familiar.sum()) < 3
    together = decoder(context, captions())
    for image in range(3):
        alone = decoder.prepare(of(seen(), [image]))
        assert_same(decoder(alone, captions()[[image]]), together[[image]])


def test_a_region_of_a_foreign_kind_makes_a_photo_unfamiliar_if_the_detector_is_sure():
    decoder = decided(-2.0)
    decoder.foreign[:CONCEPTS] = True
    sure = replace(seen(), scores=torch.full_like(seen().scores, 0.9))
    unsure = replace(seen(), scores=torch.full_like(seen().scores, 0.1))
    assert not decoder.prepare(sure).familiar.any() and decoder.prepare(unsure).familiar.all()
    decoder.foreign[:] = False
    assert decoder.prepare(sure).familiar.all()


@pytest.mark.parametrize("threshold", [-2.0, 9.0])
def test_each_judges_its_own_captions(threshold):
    decoder = decided(threshold)
    context = decoder.prepare(seen())
    plain = beam(decoder, context, beam_size=6, num_captions=6, max_words=4)
    options = {"weight": 0.7, "concept_weight": 0.4, "unsupported": 0.2}
    ours = consensus(decoder, context, beam_size=6, num_captions=6, max_words=4, **options)
    if threshold < 0:
        added = 0.7 * decoder.known.agreement(context.known, plain.words)
    else:
        added = 2 * 0.4 * decoder.other.agreement(context.other, plain.words)  # nothing looks as alike as that
        added = added - 0.2 * decoder.other.unsupported(context.other, plain.words)
    assert_same(ours.scores, (plain.scores + added).sort(descending=True).values, 1e-4)


def test_what_is_foreign_comes_back_from_the_weights():
    first, second = build("routed"), build("routed")
    first.foreign[3] = True
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.foreign, first.foreign)


@pytest.mark.parametrize("words", [UNK, VOCABULARY + 1])
def test_the_first_decoder_has_some_of_the_words(words):
    decoder = build("routed")
    with pytest.raises(UserError, match="known_words"):
        RoutedDecoder(decoder.known, decoder.other, **SIZES, known_words=words)


def test_both_decoders_are_what_they_have_to_be():
    decoder = build("routed")
    with pytest.raises(UserError, match="name such decoders"):
        RoutedDecoder(decoder.other, decoder.known, **SIZES, known_words=VOCABULARY)
    assert VISUAL_WIDTH == SIZES["visual_width"]
