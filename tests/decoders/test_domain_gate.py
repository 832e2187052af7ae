"""Familiar photos are told without concepts and judged by look-alikes, all others by what they name."""

from dataclasses import replace

import pytest
import torch
from small import CONCEPTS, SIZES, assert_same, build, captions, memory, of

from captioning.decoders.domain_gate import DomainGate, foreign_kinds, without_gate
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.consensus import consensus
from captioning.text.concepts import coco_objects, concepts


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def decided(threshold):
    decoder = build("gated")
    decoder.threshold = threshold
    return decoder


def seen():
    return memory("concepts")


def test_concepts_of_a_familiar_photo_make_no_difference():
    decoder, words = decided(-2.0), captions()
    without = replace(seen(), mask=seen().mask & (seen().classes < 0), classes=torch.full_like(seen().classes, -1))
    assert_same(decoder(decoder.prepare(seen()), words), decoder(decoder.prepare(without), words))


def test_an_unfamiliar_photo_gets_the_words_of_the_decoder_with_concepts():
    decoder, words = decided(2.0), captions()
    assert_same(decoder(decoder.prepare(seen()), words), decoder.decoder(decoder.decoder.prepare(seen()), words))


def test_each_image_goes_its_own_way_in_a_batch():
    decoder = build("gated")
    decoder.threshold = float(decoder.prepare(seen()).own.likeness.sort().values[:2].mean())
    context = decoder.prepare(seen())
    assert 0 < int(context.familiar.sum()) < 3
    together = decoder(context, captions())
    for image in range(3):
        alone = decoder.prepare(of(seen(), [image]))
        assert_same(decoder(alone, captions()[[image]]), together[[image]])


def test_a_region_of_a_foreign_kind_makes_a_photo_unfamiliar_if_the_detector_is_sure():
    decoder = decided(-2.0)
    decoder.foreign[:CONCEPTS] = True
    for score, familiar in ((0.9, False), (0.1, True)):
        scored = replace(seen(), scores=torch.full_like(seen().scores, score))
        assert bool((decoder.prepare(scored).familiar == familiar).all())


@pytest.mark.parametrize("threshold", [-2.0, 9.0])
def test_captions_are_ranked_by_the_memory_that_knows_such_photos(threshold):
    decoder = decided(threshold)
    context = decoder.prepare(seen())
    plain = beam(decoder, context, beam_size=6, num_captions=6, max_words=4)
    options = {"weight": 0.7, "concept_weight": 0.4, "unsupported": 0.2, "naming": 0.5}
    ours = consensus(decoder, context, beam_size=6, num_captions=6, max_words=4, **options)
    looks, names = decoder.decoder, decoder.decoder.decoder
    if threshold < 0:
        added = 0.7 * looks.agreement(context.own, plain.words)
    else:
        inside = context.own.own
        added = 2 * 0.4 * names.agreement(inside, plain.words)  # nothing looks as alike as that
        added = added - 0.2 * names.unsupported(inside, plain.words) + 0.5 * names.salience(inside, plain.words)
    torch.testing.assert_close(ours.scores, (plain.scores + added).sort(dim=1, descending=True).values)


def test_what_captions_of_everyday_photos_name_and_the_domain_hardly_has_is_foreign():
    dog, toilet, last = (list(concepts()).index(name) for name in ("dog", "toilet", list(concepts())[-1]))
    found = torch.zeros(500, len(concepts()), dtype=torch.bool)
    found[:200, dog] = True
    told = torch.full((100, 2), -1, dtype=torch.int16)
    told[:30, 0], told[30:50, 1], told[50:, 0] = dog, toilet, last
    foreign = foreign_kinds(found, told)
    assert foreign[toilet] and not foreign[dog]
    assert not foreign[last], "a detector that never finds a thing does not tell that it is rare"
    assert not foreign[len(coco_objects()) :].any()


def test_a_caption_gains_by_the_two_things_that_count_most_and_nothing_by_a_person():
    decoder = build("gated").decoder.decoder
    context = decoder.prepare(seen())
    person, dog, cat = (list(concepts()).index(name) for name in ("person", "dog", "cat"))
    context.weight[:] = 0.0
    context.weight[:, [person, dog, cat]] = torch.tensor([1.0, 0.6, 0.4])
    ids = {tuple(phrase): names for phrase, names in decoder.naming.items()}
    (a_dog,), (a_cat,) = ([list(i) for i, n in ids.items() if n == [name] and len(i) == 1][:1] for name in (dog, cat))
    rows = [a_dog + a_cat, a_cat, [4]]
    words = torch.tensor([[*row, *[0] * (2 - len(row))] for row in rows])[None].expand(3, -1, -1)
    assert_same(decoder.salience(context, words), torch.tensor([[1.0, 0.4, 0.0]]).expand(3, -1))
    context.weight[:, cat] = 0.2  # too little to be worth it
    assert_same(decoder.salience(context, words), torch.tensor([[0.6, 0.0, 0.0]]).expand(3, -1))


def test_other_decoders_cannot_be_gated():
    with pytest.raises(UserError, match="remember photos"):
        DomainGate(build("recall"), **SIZES)
    with pytest.raises(UserError, match="remember photos"):
        DomainGate(build("concept_reader"), **SIZES)


def test_weights_without_the_gate_are_those_of_the_decoder_inside():
    decoder = build("gated")
    weights = {f"task.decoder.{name}": tensor for name, tensor in decoder.state_dict().items()}
    inside = {f"task.decoder.{name}": tensor for name, tensor in decoder.decoder.state_dict().items()}
    bare = without_gate(weights)
    assert bare.keys() == inside.keys() and all(torch.equal(bare[name], inside[name]) for name in bare)
    assert without_gate(inside) is inside


def test_a_familiar_photo_whose_caption_overlooks_what_counts_is_told_again_by_concepts():
    decoder = decided(-2.0)
    decoder.overlooked = 0.5
    context = decoder.prepare(seen())
    dog = list(concepts()).index("dog")
    context.by_concepts.weight[:] = 0.0
    context.by_concepts.weight[:, dog] = torch.tensor([0.9, 0.1, 0.9])
    search = {"beam_size": 6, "max_words": 4, "weight": 0.0, "concept_weight": 0.0}
    told = consensus(decoder, context, **search, details=True)
    decoder.overlooked = None
    known = consensus(decoder, decoder.prepare(seen()), **search)
    decoder.threshold = 9.0
    strange = consensus(decoder, decoder.prepare(seen()), **search)
    named = decoder.decoder.decoder.names_any(known.words, torch.full((3,), dog))
    assert not named[0], "or this tells nothing"
    for image, other in ((0, strange), (1, known)):
        ours, theirs = (one[image, 0][one[image, 0] > 0].tolist() for one in (told.words, other.words))
        assert ours == theirs
        assert_same(told.scores[image], other.scores[image])
    assert told.attention.shape[:3] == told.words.shape
