"""A text that is twice as long takes twice as long to cut, whatever it is made of."""

import time

import pytest
from adversarial_texts import ATOMS, adversarial, growth

from captioning.text.tokenizer import tokenize, tokenize_all

LENGTH = 3000


@pytest.mark.parametrize("pairs", [0, 60])
def test_twice_the_text_takes_at_most_two_and_a_half_times_as_long(pairs):
    texts = zip(adversarial(LENGTH, pairs=pairs), adversarial(2 * LENGTH, pairs=pairs), strict=True)
    for name, (short, long) in (
        (name, (short, long)) for (name, short), (_, long) in list(texts)[len(ATOMS) * bool(pairs) :]
    ):
        assert growth(short, long) <= 2.5, name


def test_many_captions_take_as_long_as_they_are_many():
    def took(count: int) -> float:
        began = time.thread_time()
        tokenize_all(["reads K.", "", ""] * count)
        return time.thread_time() - began

    took(10)
    assert min(took(4000) for _ in range(2)) <= 3 * max(took(2000) for _ in range(2))


def test_a_word_of_any_length_is_one_word():
    for atom in ("a", "a-", "\u00e9", "1", "a\u00e9"):
        word = atom * 3000 + "b1"[atom == "1"]
        assert tokenize(word) == [word]
    assert tokenize(f"see http://{'a/' * 3000}b now") == ["see", f"http://{'a/' * 3000}b", "now"]
    assert tokenize(f"to {'a' * 200}@{'b.' * 2000}c.") == ["to", f"{'a' * 200}@{'b.' * 2000}c"]
