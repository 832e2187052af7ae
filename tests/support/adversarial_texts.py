"""Texts that have every rule of the tokenizer begin over and over and never end."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from captioning.text.tokenizer import tokenize

ATOMS = (
    "a", "A", "z ", "a@", "a@a.", "@", "a.", "A.", "a. ", "a.b@", "<", "<a", "<a ", "<a b='", "<a b=\"c\" ", "<!a",
    "<a     ", "</a ", " ", "\u00a0", "\u3000", "-", "a-", "-a.b.", "_", "'", "a'", "n't", "'s", "d'a-", "\u2019",
    "\u00ad", "a\u00ad", "\u0301", "\u00e9", "&", "A&", "A+", "&amp;", "A&amp;", "&eacute;", "&lt;", "&gt;", "a@b&gt;",
    "http://", "http://a.", "www.", "www.a.", "a.com/", "a.com", "/", "a/", "1/", "1", "1,", "1.", "1-", "+1", "(11) ",
    "11 ", "$", "A$", "#", "#a", "!", "?!", "...", ". ", "\u03a3", "a\u03a3", "1\u03a3", "\u03a3.", "`", "\u00ab",
    "mr.", "u.s.", "no. ", "K. ", "a. The ", ":-", "(", "\\*", "*", "\u2074", "\u2082", "\u00bc", "\U0001f600",
    "c\u02d8", "a.txt", "cannot", "gonna", "a.a-", "a,a-", "\r", "\u2028", "\n", "\x01", "\u0130",
)  # fmt: skip


def adversarial(length: int, *, pairs: int = 0, seed: int = 0) -> Iterator[tuple[str, str]]:
    """(what it is made of, a text of about `length` characters) for each atom, and for random joins of atoms."""
    dice = random.Random(seed)
    made = [(atom, "", "") for atom in ATOMS]
    made += [("".join(dice.choices(ATOMS, k=dice.choice((2, 2, 3)))), dice.choice(ATOMS), "") for _ in range(pairs)]
    for atom, front, end in made:
        yield repr(front + atom), front + atom * (length // len(atom)) + end


def seconds(text: str, times: int) -> float:
    """The least of several."""
    took = []
    for _ in range(times):
        began = time.thread_time()
        tokenize(text)
        took.append(time.thread_time() - began)
    return min(took)


def growth(short: str, long: str) -> float:
    """How many times as long the longer text takes, the least of three looks."""
    found = float("inf")
    for times in (1, 2, 4):
        found = min(found, seconds(long, times) / max(seconds(short, times), 1e-4))
        if found <= 2.5:
            break
    return found
