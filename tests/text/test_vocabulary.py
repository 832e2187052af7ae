"""Words to numbers and back, and words to what a person would write."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioning.errors import UserError
from captioning.text.tokenizer import tokenize
from captioning.text.vocabulary import EOS, SPECIALS, UNK, Vocabulary, sentence

CAPTIONS = ["A dog runs .", "a dog isn't running", "two dogs, running!"]


def test_only_words_that_are_frequent_enough_are_kept_most_frequent_first():
    vocabulary = Vocabulary.build(CAPTIONS, min_count=2)
    assert vocabulary.words == (*SPECIALS, "a", "dog", "running")


def test_known_words_come_back_and_unknown_ones_are_marked():
    vocabulary = Vocabulary.build(CAPTIONS, min_count=1)
    ids = vocabulary.encode("A zebra isn't running.")
    assert vocabulary.decode(ids) == ["a", "is", "n't", "running"]
    assert ids.count(UNK) == 1 and ids[-1] == EOS


def test_a_caption_cut_short_has_no_end():
    vocabulary = Vocabulary.build(CAPTIONS, min_count=1, max_words=3)
    assert vocabulary.encode("a dog runs")[-1] == EOS
    assert len(vocabulary.encode("a dog runs running")) == 3 and EOS not in vocabulary.encode("a dog runs running")


def test_a_saved_vocabulary_is_the_same_one(tmp_path):
    vocabulary = Vocabulary.build([*CAPTIONS, "ein Hündchen läuft"], min_count=1, max_words=7)
    vocabulary.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"words": [1], "max_words": 3}', '{"words": ["a", "a"], "max_words": 3}']
)
def test_a_damaged_vocabulary_is_named(tmp_path, content):
    path = tmp_path / "vocabulary.json"
    path.write_text(content)
    with pytest.raises(UserError, match="vocabulary"):
        Vocabulary.load(path)


def test_a_threshold_that_leaves_no_word_says_what_to_lower():
    with pytest.raises(UserError, match="min_count"):
        Vocabulary.build(CAPTIONS, min_count=100)


def test_text_is_what_a_person_would_write():
    assert sentence(["a", "man", "is", "n't", "here"]) == "A man isn't here."
    assert sentence(["the", "dog", "'s", "ball", "costs", "$", "5"]) == "The dog's ball costs $5."
    assert sentence([]) == ""


WORDS = "a dog's man isn't running two , black-and-white t-shirt can't 50% gonna".split()


@given(st.lists(st.sampled_from(WORDS), min_size=1))
def test_a_sentence_has_the_words_it_was_made_of(parts):
    words = tokenize(" ".join(parts))
    assert tokenize(sentence(words)) == words


def test_real_captions_survive_being_written_as_sentences(real_data):
    captions = json.loads((real_data / "coco/annotations/captions_val2017.json").read_text())["annotations"][:5000]
    words = [tokenize(caption["caption"]) for caption in captions]
    same = sum(tokenize(sentence(each)) == each for each in words)
    assert same >= 0.995 * len(words)
