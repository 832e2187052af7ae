"""Noun phrases are runs of words between those that stand between phrases; their places are those of their words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captioning.text.noun_phrases import DETERMINERS, between, noun_phrases, singular

WORDS = st.sampled_from("a the two man dog red shirt of in is running , and beach people his group very .".split())


@pytest.mark.parametrize(
    ("caption", "phrases"),
    [
        ("a man in a red shirt is riding a bike", ["a man", "a red shirt", "a bike"]),
        ("A group of people stand on the beach .", ["A group of people", "the beach"]),
        ("two dogs and a cat", ["two dogs", "a cat"]),
        ("a black dog with his brown ball", ["a black dog", "his brown ball"]),
        ("A woman in a hat is posing for a picture.", ["A woman", "a hat", "a picture"]),
        ("a dog, a cat and birds!", ["a dog", "a cat", "birds"]),
        ("it is running", []),
        ("", []),
        ("the", []),
    ],
)
def test_captions_have_their_phrases(caption, phrases):
    assert [phrase.text for phrase in noun_phrases(caption.split())] == phrases


@given(st.lists(WORDS, max_size=12))
def test_phrases_are_pieces_of_the_caption_in_order_that_do_not_overlap(words):
    found = noun_phrases(words)
    for phrase in found:
        assert phrase.text == " ".join(words[phrase.start : phrase.end]) and phrase.end > phrase.start
        inside = words[phrase.start : phrase.end]
        assert not any(word in between() - DETERMINERS or word in ",." for word in inside)
        assert any(word not in DETERMINERS for word in inside)
        assert inside[0] != "of" and inside[-1] != "of"
    assert all(one.end <= other.start for one, other in zip(found, found[1:], strict=False))


@pytest.mark.parametrize(
    ("noun", "one"),
    [
        ("dogs", "dog"), ("men", "man"), ("people", "person"), ("glasses", "glass"), ("babies", "baby"),
        ("bushes", "bush"), ("bus", "bus"), ("grass", "grass"), ("boxes", "box"), ("dog", "dog"), ("benches", "bench"),
    ],
)  # fmt: skip
def test_a_plural_and_its_singular_are_one(noun, one):
    assert singular(noun) == one


def test_phrases_are_mostly_those_that_people_marked(real_data):
    from captioning.data.benchmarks.flickr30k_entities import read_sentences

    right = said = wanted = 0
    for name in (real_data / "flickr30k_entities/flickr8k_dev.txt").read_text().split()[:200]:
        path = real_data / "flickr30k_entities/Sentences" / f"{name.split('_')[0]}.txt"
        for caption, mentioned in read_sentences(path):
            found = [phrase.text for phrase in noun_phrases(caption.split())]
            marked = [text for _, _, text in mentioned]
            right += len(set(found) & set(marked))
            said, wanted = said + len(set(found)), wanted + len(set(marked))
    assert right / said > 0.85 and right / wanted > 0.85
