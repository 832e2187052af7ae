"""Vocabularies of parts of words: nothing is lost, every token belongs to one word, and what is saved is plain JSON."""

import json

import pytest

from captioning.errors import UserError
from captioning.generation.word_options import word_ids
from captioning.text.subwords import Subwords
from captioning.text.vocabularies import read_vocabulary
from captioning.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

pytest.importorskip("transformers")
import hub_models  # noqa: E402

CAPTIONS = ["a dog runs on the grass", "two small balls under water.", "the dog's ball", "a", "sitting running"]


@pytest.fixture(scope="module", params=["word pieces", "byte level"])
def vocabulary(request, tmp_path_factory) -> Subwords:
    folder = tmp_path_factory.mktemp("tokenizer")
    if request.param == "word pieces":
        size, specials = len(hub_models.word_pieces(folder)), (0, 2, 3, 1)
    else:
        size, specials = len(hub_models.byte_level(folder)), (0, 0, 0, 0)
    return Subwords((folder / "tokenizer.json").read_text(), specials=specials, size=size, max_words=12)


@pytest.mark.parametrize("caption", CAPTIONS)
def test_what_is_written_is_what_was_read(vocabulary, caption):
    ids = vocabulary.encode(caption)
    assert ids[-1] == EOS and min(ids) > BOS
    if UNK not in ids:
        assert vocabulary.text(ids).replace(" ", "") == caption.replace(" ", "")


@pytest.mark.parametrize("caption", CAPTIONS)
def test_every_token_belongs_to_one_word(vocabulary, caption):
    ids = vocabulary.encode(caption)
    groups, words = vocabulary.groups(ids), vocabulary.decode(ids)
    assert len(groups) == len(words)
    assert [place for group in groups for place in group] == [i for i, each in enumerate(ids) if each > UNK]
    for group, word in zip(groups, words, strict=True):
        assert vocabulary.text([ids[place] for place in group]).replace(" ", "") == word


def test_a_row_of_the_models_table_has_one_id(vocabulary):
    order = vocabulary.theirs
    assert sorted(set(order)) == list(range(vocabulary.size))
    assert all(vocabulary.ours[order[i]] == i for i in range(UNK + 1, len(vocabulary)))
    assert vocabulary.specials == tuple(order[: UNK + 1]) and (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)


def test_what_is_saved_is_plain_json_and_reads_the_same(vocabulary):
    again = read_vocabulary(vocabulary.to_json(), "place")
    assert again == vocabulary and isinstance(again, Subwords)
    assert [again.encode(one) for one in CAPTIONS] == [vocabulary.encode(one) for one in CAPTIONS]
    words = Vocabulary(["a", "dog"])
    assert read_vocabulary(words.to_json(), "place") == words


@pytest.mark.parametrize(
    "change", [{"size": 0}, {"size": 10**9}, {"specials": [0]}, {"max_words": "x"}, {"tokenizer": {}}, {"size": None}]
)
def test_a_damaged_one_is_refused_in_a_sentence(vocabulary, change):
    content = json.loads(vocabulary.to_json()) | change
    with pytest.raises(UserError, match="model/vocabulary.json") as error:
        read_vocabulary(json.dumps(content), "model/vocabulary.json")
    assert "\n" not in str(error.value)


def test_a_phrase_is_its_tokens_and_a_forbidden_word_has_to_be_one(vocabulary):
    ids = word_ids({"forced_words": ["running water"], "forced_prefix": "a dog"}, vocabulary)
    ((phrase,),) = ids["forced_words"]
    assert vocabulary.text(phrase).replace(" ", "") == "runningwater" and len(phrase) > 2
    assert vocabulary.text(ids["forced_prefix"]) == "a dog"
    with pytest.raises(UserError, match="tokens to this model, not one"):
        word_ids({"forbidden_words": ["running"]}, vocabulary)
