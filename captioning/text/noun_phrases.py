"""The noun phrases of a caption, by the words that stand between them; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

DETERMINERS = frozenset(
    "a an the this that these those his her its their my our your some another each every both several many "
    "one two three four five six seven eight nine ten".split()
)
INSIDE = "of"  # what holds a phrase together: "a group of people"
NOT_SEEN = frozenset("it he she they them him there who which what".split())
PUNCTUATION = ".,;:!?\"'()"
SIDE = 3  # letters that a singular has at least


@dataclass(frozen=True)
class NounPhrase:
    """A phrase of a caption, without punctuation around it, and the places of its words: `start` to before `end`."""

    text: str
    start: int
    end: int

    @property
    def head(self) -> str:
        """What it is about, its last word in the singular; of "a group of people" that is people."""
        return singular(self.text.split()[-1].lower())


@cache
def between() -> frozenset[str]:
    """Words that stand between phrases."""
    lines = (Path(__file__).parent / "between_phrases.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def noun_phrases(words: list[str]) -> list[NounPhrase]:
    """The noun phrases among the words of a caption, in their order.

    A phrase ends at a word that mostly stands between phrases (a verb, a preposition, a conjunction), at punctuation,
    and before the next determiner. No grammar is looked at: a verb that is not on the list is taken for a noun.
    """
    found: list[NounPhrase] = []
    start: int | None = None
    plain = [word.lower().strip(PUNCTUATION) for word in words]
    for i, word in enumerate(plain):
        named = word in DETERMINERS
        stops = not word or word in NOT_SEEN or (word in between() and not named)
        begins = named and i and plain[i - 1] not in (*DETERMINERS, INSIDE)
        if word == INSIDE and start is not None:
            continue
        if start is not None and (stops or begins):
            found += _phrase(words, plain, start, i)
            start = None
        if start is None and not stops and word != INSIDE:
            start = i
        if start is not None and words[i].rstrip(PUNCTUATION) != words[i]:
            found += _phrase(words, plain, start, i + 1)
            start = None
    return found if start is None else found + _phrase(words, plain, start, len(words))


def _phrase(words: list[str], plain: list[str], start: int, end: int) -> list[NounPhrase]:
    while end > start and plain[end - 1] == INSIDE:
        end -= 1
    if all(word in DETERMINERS for word in plain[start:end]):
        return []
    return [NounPhrase(" ".join(words[start:end]).strip(PUNCTUATION), start, end)]


def singular(noun: str) -> str:
    """A noun as a key: "dogs" and "dog" are one."""
    known = {"men": "man", "women": "woman", "people": "person", "children": "child", "feet": "foot", "teeth": "tooth"}
    if noun in known:
        return known[noun]
    for ending, instead in (("ies", "y"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("sses", "ss")):
        if noun.endswith(ending) and len(noun) > len(ending) + 1:
            return noun.removesuffix(ending) + instead
    return noun[:-1] if noun.endswith("s") and not noun.endswith(("ss", "us")) and len(noun) > SIDE else noun
