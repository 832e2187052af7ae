"""What holds for every decoder, on every kind of memory (`captioning.testing`)."""

import pytest
import torch
from small import CONCEPTS, ROWS, SMALL_LSTM, VISUAL_WIDTH, VOCABULARY, assert_same, build, captions, memory, steps

from captioning.decoders.show_and_tell import ShowAndTell
from captioning.testing import DECODER_LAWS, check_decoder


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("law", DECODER_LAWS, ids=lambda law: law.__name__)
def test_every_decoder_keeps_the_law(decoder, seen, law):
    law(decoder, seen, VOCABULARY)


def test_a_decoder_of_ones_own_is_held_to_the_laws_in_one_call():
    sizes = {"visual_width": VISUAL_WIDTH, "vocabulary_size": VOCABULARY}
    check_decoder(build("transformer"), **sizes, concepts=CONCEPTS)

    class Peeks(ShowAndTell):
        """Looks at the word to come, which only teacher forcing has."""

        def forward_features(self, context, words):
            found = super().forward_features(context, words)
            return found._replace(features=found.features + words.roll(-1, -1)[..., None])

    with pytest.raises(AssertionError, match="step_by_step_equals_teacher_forcing, of grid"):
        check_decoder(Peeks(**SMALL_LSTM), **sizes)


def test_a_long_caption_is_as_good_as_a_short_one(decoder):
    if any(getattr(part, "learned", None) is not None for part in decoder.modules()):
        pytest.skip("learned positions are as many as they are")
    context, words = decoder.prepare(memory("grid")), captions(length=60)
    logits, _, _ = steps(decoder, context, decoder.start(context, ROWS), words)
    assert_same(logits, decoder(context, words))
