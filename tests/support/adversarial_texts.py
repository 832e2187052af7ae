"""Texts that have every rule of the tokenizer begin over and over and never end."""

from __future__ import annotations

import random
from collections.abc import Iterator

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
