"""Why a score says nothing about the captions: the official value stays, and one sentence stands beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

Tokens = list[list[str]]
# Scripts that are written without blanks between words, which the official tokenization therefore leaves whole:
# Thai, Lao, Myanmar, Khmer; Hiragana to CJK ideographs; their extensions.
UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3040, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
LONG = 3.0  # characters of a token on average: a Chinese word has hardly two


def remarks(corpus: Mapping[str, float], references: Sequence[Tokens], hypotheses: Tokens) -> list[str]:
    """A sentence for each reason why values of `corpus` mean nothing, for tokenized captions."""
    found = []
    wordless = sum(not words for words in hypotheses)
    if wordless:
        found.append(f"{wordless:,} of {len(hypotheses):,} predictions have no words, and count 0.")
    if unsplit(list(chain(*references))):
        found.append(
            "the official tokenization does not split the script of these references into words, so that a phrase "
            "counts as one word and scores say little: put blanks between their words or characters, on both sides."
        )
    if corpus.get("CIDEr") == 0 and wordless < len(hypotheses):
        if len(references) == 1:
            found.append("CIDEr of one image is 0 by its formula: a word counts by how few of the images have it.")
        elif same_everywhere(references):
            found.append(
                "CIDEr is 0 by its formula, because all images have the same references: a word counts by how few of "
                "the images have it."
            )
    return found


def unsplit(captions: Tokens) -> bool:
    """Whether most of the text is in a script without blanks, and comes in pieces that are longer than words."""
    letters = written_whole = tokens = 0
    for word in chain(*captions):
        inside = sum(any(low <= ord(letter) <= high for low, high in UNSPACED) for letter in word)
        letters += len(word)
        written_whole += inside
        tokens += inside > 0
    return written_whole > letters / 2 and written_whole > LONG * tokens


def same_everywhere(references: Sequence[Tokens]) -> bool:
    """Whether every image has the references of the first."""
    first = {tuple(words) for words in references[0]}
    return all({tuple(words) for words in those} == first for those in references[1:])
