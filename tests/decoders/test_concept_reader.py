"""A decoder that reads concepts: without them it is the one inside, they have no order, and their words can be said."""

from dataclasses import replace

import pytest
import torch
from small import CONCEPTS, SIZES, SMALL_TRANSFORMER, VOCABULARY, assert_same, build, captions, copier, memory

from captioning.decoders.concepts import ConceptReader
from captioning.decoders.show_and_tell import ShowAndTell
from captioning.decoders.transformer import Transformer
from captioning.errors import UserError
from captioning.generation.greedy import greedy
from captioning.text.vocabulary import UNK, Vocabulary

READERS = ("concept_reader", "concept_copier")


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["grid", "regions", "clips"])
def test_without_concepts_it_is_the_decoder_inside(name, kind):
    reader, words = build(name), captions()
    inside = reader.decoder
    ours = reader(reader.prepare(memory(kind)), words).log_softmax(-1)
    assert_same(ours, inside(inside.prepare(memory(kind)), words).log_softmax(-1))


@pytest.mark.parametrize("name", READERS)
def test_the_order_of_concepts_does_not_matter(name):
    reader, seen, words = build(name), memory("concepts"), captions()
    order = torch.tensor([4, 1, 6, 3, 0, 5, 2])  # of the concepts, at every other place, among each other
    mixed = {part: getattr(seen, part)[:, order] for part in ("tokens", "mask", "boxes", "classes", "scores")}
    assert not torch.equal(mixed["classes"], seen.classes)
    assert_same(reader(reader.prepare(replace(seen, **mixed)), words), reader(reader.prepare(seen), words), 1e-4)


@pytest.mark.parametrize("part", ["classes", "scores", "boxes"])
def test_class_score_and_place_of_a_concept_are_read(part):
    reader, seen, words = build("concept_reader"), memory("concepts"), captions()
    other = {"classes": (seen.classes + 1) % CONCEPTS, "scores": 1 - seen.scores, "boxes": seen.boxes.flip(1)}[part]
    if part == "classes":
        other = torch.where(seen.classes >= 0, other, -1)
    changed = reader(reader.prepare(replace(seen, **{part: other})), words)
    assert (changed - reader(reader.prepare(seen), words)).abs().amax() > 1e-3


def test_what_the_encoder_gave_a_concept_is_not_read():
    reader, seen, words = build("concept_reader"), memory("concepts"), captions()
    noise = torch.where((seen.classes >= 0)[..., None], torch.randn(seen.tokens.shape), seen.tokens)
    assert_same(reader(reader.prepare(replace(seen, tokens=noise)), words), reader(reader.prepare(seen), words))


def test_probabilities_with_copies_sum_to_one():
    reader = build("concept_copier")
    logits = reader(reader.prepare(memory("concepts")), captions())
    assert_same(logits.exp().sum(-1), torch.ones(logits.shape[:-1]))


def test_the_word_of_a_concept_can_be_said_however_unlikely_to_the_decoder_inside():
    reader, seen = build("concept_copier"), memory("concepts")
    never = UNK + 1 + int(seen.classes[2, 0])  # the only token of this image
    reader.decoder.predict.bias[never] = -1e4
    assert float(reader.decoder(reader.decoder.prepare(seen), captions())[2, ..., never].max()) < -1e3
    reader.share.fill_(9.0)
    assert greedy(reader, reader.prepare(seen), max_words=4).words[2, 0].tolist() == [never] * 4


def test_words_outside_the_vocabulary_are_not_copied():
    reader = copier(Transformer(**SMALL_TRANSFORMER)).eval()
    reader.name_concepts([f"word{c} of several" for c in range(CONCEPTS)], Vocabulary(["word3", "word5"]))
    assert reader.words.tolist() == [UNK] * 3 + [4, UNK, 5] + [UNK] * 3
    copied = reader.copied(reader.prepare(memory("concepts")), torch.rand(3, 2, 7))
    said = reader.words[memory("concepts").classes.clamp(min=0)] != UNK
    assert ((copied > 0).any(1) <= said).all()


def test_a_decoder_that_attends_to_nothing_copies_nothing():
    inside = ShowAndTell(**SIZES, embedding=16, width=16).eval()
    reader = copier(inside).eval()
    seen, words = memory("concepts"), captions()
    assert_same(reader(reader.prepare(seen), words), inside(inside.prepare(reader.read(seen)), words))


def test_concepts_are_read_once():
    with pytest.raises(UserError, match="reads no concepts yet"):
        ConceptReader(build("concept_reader"), **SIZES, concepts=3)


def test_learning_reaches_what_concepts_are_embedded_by():
    with torch.enable_grad():
        reader = copier(Transformer(**SMALL_TRANSFORMER))
        reader(reader.prepare(memory("concepts")), captions())[..., VOCABULARY - 1].sum().backward()
    for name in ("embed.weight", "weigh.weight", "lift.weight", "share"):
        assert reader.get_parameter(name).grad.abs().sum() > 0, name
