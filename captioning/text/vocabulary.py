"""Words and their numbers. Built from the training captions, saved with the model; imports no torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from captioning.errors import UserError
from captioning.text.tokenizer import tokenize

PAD, BOS, EOS, UNK = range(4)
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")


class Vocabulary:
    """A fixed list of words: id <-> word. Ids 0 to 3 are padding, begin, end and unknown, in every vocabulary."""

    def __init__(self, words: Sequence[str], *, max_words: int = 20):
        """`words` without the specials, in id order from 4 on. Captions are cut at `max_words` words."""
        self.words = (*SPECIALS, *words)
        self.ids = {word: i for i, word in enumerate(self.words)}
        self.max_words = max_words
        if len(self.ids) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise UserError(f"vocabulary: the word {twice!r} is listed twice")

    @classmethod
    def build(cls, captions: Iterable[str], *, min_count: int = 5, max_words: int = 20) -> Vocabulary:
        """Words seen at least `min_count` times, the most frequent first, ties in alphabetical order."""
        counts = Counter(word for caption in captions for word in tokenize(caption))
        kept = sorted((word for word in counts if counts[word] >= min_count), key=lambda word: (-counts[word], word))
        if not kept:
            raise UserError(f"no word occurs {min_count} times in the training captions: lower vocabulary.min_count")
        return cls([word for word in kept if word not in SPECIALS], max_words=max_words)

    def __len__(self) -> int:
        return len(self.words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words and self.max_words == other.max_words

    __hash__ = None  # type: ignore[assignment]

    def encode(self, caption: str) -> list[int]:
        """Ids of a caption's words, cut at `max_words`, unknown words as UNK; the end is marked if nothing was cut.

        A caption cut short has no end: it would teach the decoder to stop in the middle of a phrase.
        """
        ids = [self.ids.get(word, UNK) for word in tokenize(caption)]
        return [*ids, EOS] if len(ids) <= self.max_words else ids[: self.max_words]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words up to the first end mark, specials left out."""
        words = []
        for i in map(int, ids):
            if i == EOS:
                break
            if i > UNK:
                words.append(self.words[i])
        return words

    def text(self, ids: Iterable[int]) -> str:
        """What ids say, as a person would write it."""
        return sentence(self.decode(ids))

    def groups(self, ids: Iterable[int]) -> list[list[int]]:
        """For each word of `decode`, the places of its tokens: a word is one."""
        ids = list(ids)
        return [[place] for place, i in enumerate(ids[: (*ids, EOS).index(EOS)]) if i > UNK]

    def spell(self, phrase: str, *, first: bool = False) -> list[int]:
        """Ids of a phrase, read as captions are. Raises KeyError naming the word that is not here."""
        words = tokenize(phrase)
        for word in words:
            if self.ids.get(word, UNK) <= UNK:
                raise KeyError(word)
        return [self.ids[word] for word in words]

    def to_json(self) -> str:
        """One JSON object: `words` (without specials) and `max_words`."""
        content = {"words": self.words[len(SPECIALS) :], "max_words": self.max_words}
        return json.dumps(content, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def from_json(cls, text: str, place: object) -> Vocabulary:
        """Reads what `to_json` gave. Raises UserError naming `place` where it is not that."""
        try:
            content = json.loads(text)
            words, max_words = content["words"], content["max_words"]
            if not all(isinstance(word, str) for word in words) or not isinstance(max_words, int):
                raise TypeError("words are strings and max_words is a number")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(f"{place} is not a vocabulary: {error}") from None
        try:
            return cls(words, max_words=max_words)
        except UserError as error:
            raise UserError(f"{place}: {error}") from None

    def save(self, path: Path) -> None:
        """Writes `to_json` into a file."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Reads what `save` wrote. Raises UserError naming the file where it is not that."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise UserError(f"{path} is missing: the model folder is incomplete") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is not a vocabulary: {error}") from None
        return cls.from_json(text, path)


@cache
def _detokenizer():
    from nltk.tokenize.treebank import TreebankWordDetokenizer  # half a second to import: only for who shows captions

    return TreebankWordDetokenizer()


def sentence(words: Sequence[str]) -> str:
    """Words as a person would write them: "a dog is n't here" -> "A dog isn't here."; no words, no text.

    The full stop is left out where it would change the words for a scorer: "plan b." ends in an abbreviation.
    """
    text = _detokenizer().detokenize(list(words)).strip()
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return f"{text}." if tokenize(f"{text}.") == tokenize(text) else text
