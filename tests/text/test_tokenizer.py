"""The tokenizer cuts every caption as the official one does, and never loses one."""

import hashlib
import json
import pickle
from pathlib import Path

import pytest
from fuzz_tokenizer import differences
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from invented_captions import LINE_SEPARATORS, PIECES, invented_captions
from official import needs_java, official_lines

from captioning.text.tokenizer import tokenize, tokenize_all

GOLDEN = Path(__file__).parents[1] / "golden" / "tokenizer.json"
CORPORA = ["COCO val2017", "MSVD", "Flickr8k", "MSR-VTT, Italian"]

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=LINE_SEPARATORS), max_size=20)
captions = st.lists(st.sampled_from(PIECES) | texts, max_size=6).flatmap(
    lambda pieces: st.sampled_from(["", " "]).map(lambda space: space.join(pieces))
)


def fingerprint(lines):
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def joined(captions):
    return [" ".join(words) for words in tokenize_all(captions)]


def test_every_recorded_quirk_is_cut_as_the_official_tokenizer_cut_it():
    recorded = json.loads(GOLDEN.read_text())["captions"]
    assert [[caption, " ".join(tokenize(caption))] for caption, _ in recorded] == recorded


@pytest.mark.parametrize("name", CORPORA)
def test_every_caption_of_the_benchmarks_is_cut_as_the_official_tokenizer_cut_it(corpora, name):
    recorded = json.loads(GOLDEN.read_text())["corpora"][name]
    assert len(corpora[name]) == recorded["captions"]
    assert fingerprint(joined(corpora[name])) == recorded["sha256"]


@pytest.mark.parametrize("name", CORPORA)
def test_every_caption_of_the_benchmarks_agrees_with_the_official_tokenizer_itself(corpora, name):
    needs_java()
    lines = [caption.replace("\n", " ") for caption in corpora[name]]
    assert joined(corpora[name]) == official_lines(lines)


@pytest.mark.parametrize("seed", range(3))
def test_invented_captions_agree_with_the_official_tokenizer(seed):
    needs_java()
    assert differences(invented_captions(3000, seed)) == []


@settings(max_examples=8, deadline=None, phases=[Phase.generate])
@given(st.lists(captions, min_size=30, max_size=60))
def test_whatever_hypothesis_invents_agrees_with_the_official_tokenizer(captions):
    needs_java()
    assert differences(captions) == []


@pytest.mark.parametrize("separator", LINE_SEPARATORS)
def test_a_line_separator_inside_a_caption_is_a_space_and_loses_nothing(separator):
    both = [f"a dog{separator}on a beach", "a cat"]
    assert tokenize_all(both) == [["a", "dog", "on", "a", "beach"], ["a", "cat"]]


@given(st.lists(st.text(max_size=30), max_size=5))
def test_there_is_one_list_of_words_for_each_caption_whatever_it_holds(captions):
    cut = tokenize_all(captions)
    assert len(cut) == len(captions)
    assert all(word and " " not in word for words in cut for word in words)


def test_an_empty_caption_has_no_words():
    assert tokenize("") == tokenize(" \n") == tokenize(" . ") == []


def test_half_a_surrogate_pair_is_dropped():
    assert tokenize("a \ud83d dog") == ["a", "dog"]


def test_a_caption_is_cut_the_same_however_often_and_after_whichever_others():
    once = [tokenize(caption) for caption in invented_captions(500, 9)]
    assert [tokenize(caption) for caption in invented_captions(500, 9)] == once


def test_a_returned_list_may_be_changed():
    tokenize("a dog").append("barks")
    assert tokenize("a dog") == ["a", "dog"]
    assert pickle.loads(pickle.dumps(tokenize("dog"))) == ["dog"]
