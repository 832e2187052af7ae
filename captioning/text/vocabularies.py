"""Reads a model's vocabulary, of words or of parts of words."""

from __future__ import annotations

from captioning.text.subwords import Subwords
from captioning.text.vocabulary import Vocabulary


def read_vocabulary(text: str, place: object) -> Vocabulary | Subwords:
    """What a vocabulary.json holds. Raises UserError naming `place` where it is none."""
    kind = Subwords if '"tokenizer"' in text[:20] else Vocabulary
    return kind.from_json(text, place)
