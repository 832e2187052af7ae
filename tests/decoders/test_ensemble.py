"""Many decoders as one."""

import pytest
import torch
from small import LENGTH, ROWS, SINGLE, SMALL_TRANSFORMER, assert_same, build, captions, memory, of, steps

from captioning.decoders.ensemble import Ensemble
from captioning.decoders.transformer import Transformer
from captioning.errors import UserError


@pytest.mark.parametrize("name", SINGLE)
def test_an_ensemble_of_one_is_the_one(name):
    one = build(name)
    ensemble, seen, words = Ensemble([one]).eval(), memory("regions"), captions()
    ours, theirs = (decoder.forward_features(decoder.prepare(seen), words) for decoder in (ensemble, one))
    assert_same(ensemble.forward_head(ours.features), one.forward_head(theirs.features).log_softmax(-1))
    assert theirs.attention is None if ours.attention is None else torch.equal(ours.attention, theirs.attention)


def test_log_probabilities_are_averaged():
    parts, seen, words = [build("up_down"), build("transformer"), build("show_and_tell")], memory("grid"), captions()
    expected = sum(part(part.prepare(seen), words).log_softmax(-1) for part in parts) / 3
    ensemble = Ensemble(parts).eval()
    context = ensemble.prepare(seen)
    logits, _, _ = steps(ensemble, context, ensemble.start(context, ROWS), words)
    assert_same(logits, expected)


def test_each_decoder_may_look_at_a_memory_of_its_own():
    parts, words = [build("up_down"), build("meshed_memory")], captions()
    memories = [memory("grid"), of(memory("regions"), [0, 1, 2], tokens=5)]
    ensemble = Ensemble(parts).eval()
    taught = ensemble.forward_features(ensemble.prepare(memories), words)
    expected = sum(part(part.prepare(seen), words).log_softmax(-1) for part, seen in zip(parts, memories, strict=True))
    assert_same(ensemble.forward_head(taught.features), expected / 2)
    assert taught.attention is None, "attention to different tokens has no mean"


def test_attention_is_the_mean_of_those_that_attend():
    parts, seen, words = [build("up_down"), build("transformer"), build("show_and_tell")], memory("grid"), captions()
    first, second = (part.forward_features(part.prepare(seen), words).attention for part in parts[:2])
    ensemble = Ensemble(parts).eval()
    assert_same(ensemble.forward_features(ensemble.prepare(seen), words).attention, (first + second) / 2)
    assert first.shape[2] == LENGTH


def test_decoders_of_different_vocabularies_are_refused():
    other = Transformer(**{**SMALL_TRANSFORMER, "vocabulary_size": 40}).eval()
    ensemble = Ensemble([build("transformer"), other])
    with pytest.raises(UserError, match="31, 40"):
        ensemble(ensemble.prepare(memory("grid")), captions())


def test_no_decoder_is_no_ensemble():
    with pytest.raises(UserError, match="at least one"):
        Ensemble([])


def test_a_wrong_number_of_memories_is_refused():
    with pytest.raises(ValueError, match="1 memories for 2 decoders"):
        Ensemble([build("transformer"), build("up_down")]).prepare([memory("grid")])
