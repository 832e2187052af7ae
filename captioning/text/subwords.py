"""Vocabularies of parts of words (BPE, WordPiece, byte level), as `tokenizers` keeps them in a JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from captioning.errors import UserError
from captioning.text.vocabulary import BOS, EOS, PAD, SPECIALS, UNK

MOST = 1_000_000  # entries of a table of tokens


class Subwords:
    """Has what a `Vocabulary` has, for tokens that are parts of words: id <-> token, with PAD, BOS, EOS and UNK first.

    `words` are the tokens in our order, `ids` those words that are one token. A caption is cut at `max_words` tokens.
    """

    def __init__(self, tokenizer: str, *, specials: Sequence[int], size: int, max_words: int = 20):
        """`tokenizer` is the JSON of one; `specials` its ids for padding, begin, end and unknown, of which several may
        be one; `size` the number of rows of the model's table. Raises UserError where it cannot be read."""
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise UserError("this model writes parts of words, which needs: pip install captioning[hub]") from None
        try:
            self.tokenizer = Tokenizer.from_str(tokenizer)
        except Exception as error:  # of its own kind, which is no class of Python's
            raise UserError(f"the tokenizer cannot be read: {' '.join(str(error).split())[:200]}") from None
        self.json, self.specials, self.size, self.max_words = tokenizer, tuple(specials), size, max_words
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.theirs = [*specials, *(number for number in range(size) if number not in self.specials)]
        self.ours = {number: place for place, number in enumerate(self.theirs) if place > UNK}
        self.ours |= {specials[place]: place for place in (PAD, BOS, UNK, EOS)}  # where several are one, it is the end
        self.words = (*SPECIALS, *(self.tokenizer.id_to_token(number) or "" for number in self.theirs[UNK + 1 :]))

    @property
    def ids(self) -> dict[str, int]:
        """Words that are one token, as they stand inside a caption -> their ids."""
        if "_ids" not in self.__dict__:
            texts = self.tokenizer.decode_batch([[number] for number in self.theirs], skip_special_tokens=False)
            whole = {text.strip(): place for place, text in enumerate(texts) if place > UNK}
            self._ids = {text: place for text, place in whole.items() if text and self._spelt(f" {text}") == [place]}
        return self._ids

    def __len__(self) -> int:
        return len(self.theirs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Subwords) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def _spelt(self, text: str) -> list[int]:
        return [self.ours.get(i, UNK) for i in self.tokenizer.encode(text, add_special_tokens=False).ids]

    def encode(self, caption: str) -> list[int]:
        """Ids of a caption's tokens, cut at `max_words`; the end is marked if nothing was cut."""
        ids = self._spelt(" ".join(caption.split()))
        return [*ids, EOS] if len(ids) <= self.max_words else ids[: self.max_words]

    def spell(self, phrase: str, *, first: bool = False) -> list[int]:
        """Ids of a phrase, at the beginning of a caption or inside it. Raises KeyError for what it has no token for."""
        ids = self._spelt(phrase.strip() if first else f" {phrase.strip()}")
        if UNK in ids:
            raise KeyError(phrase)
        return ids

    def text(self, ids: Iterable[int]) -> str:
        """What tokens say up to the first end mark, as the model writes it."""
        return " ".join(self.tokenizer.decode([self.theirs[i] for i in said(ids)], skip_special_tokens=True).split())

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The whole words up to the first end mark."""
        return self.text(ids).split()

    def groups(self, ids: Iterable[int]) -> list[list[int]]:
        """For each word of `decode`, the places of its tokens."""
        ids = list(ids)
        places = [place for place, i in enumerate(ids[: (*ids, EOS).index(EOS)]) if i > UNK]
        words = self.decode(ids)
        if not words:
            return []
        # a token belongs to the word that the text has reached with it, and an apostrophe may join two again
        reached = [len(self.decode(ids[: place + 1])) for place in places]
        groups: list[list[int]] = [[] for _ in words]
        now = len(words)
        for place, count in zip(reversed(places), reversed(reached), strict=True):
            now = min(now, max(1, count))
            groups[now - 1].insert(0, place)
        return groups

    def to_json(self) -> str:
        """One JSON object: the tokenizer's own, `specials`, `size` and `max_words`."""
        content: dict[str, Any] = {"tokenizer": json.loads(self.json), "specials": self.specials}
        return json.dumps(content | {"size": self.size, "max_words": self.max_words}, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, place: object) -> Subwords:
        """Reads what `to_json` gave. Raises UserError naming `place` where it is not that."""
        try:
            content = json.loads(text)
            specials, size, longest = content["specials"], content["size"], content["max_words"]
            whole = [*specials, size, longest]
            if len(specials) != UNK + 1 or not all(type(number) is int for number in whole):
                raise TypeError("specials are four numbers, size and max_words one each")
            if not max(specials) < size <= MOST or min(specials) < 0:
                raise ValueError(f"{size} tokens with specials {specials}")
            return cls(json.dumps(content["tokenizer"]), specials=specials, size=size, max_words=longest)
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{place} is not a vocabulary: {error}") from None


def said(ids: Iterable[int]) -> list[int]:
    """Ids up to the first end mark, specials left out."""
    found = []
    for i in map(int, ids):
        if i == EOS:
            break
        if i > UNK:
            found.append(i)
    return found
