"""The official caption tokenizer (Stanford PTB 3.4.1, `-preserveLines -lowerCase`) in pure Python.

It gives the words that `pycocoevalcap` 1.2 gives, with two differences, both on purpose. Any line separator inside a
caption is a space; there, a carriage return, a form feed or U+2028 starts a new line, and every later caption is read
one line too early. And the last caption is read like all others; there, a clitic that ends it ("he'll") is cut in
another way.
"""

import re
from collections.abc import Callable, Sequence
from itertools import chain

from captioning.text.characters import kinds, lower
from captioning.text.ptb_rules import ABBREVIATION, Matcher, rules

# The official list also names the brackets in capitals, which never match the lower-cased words: "-lrb-" stays.
REMOVED = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])

_LINE_SEPARATORS = re.compile("[\n\r\x0b\x0c\u2028\u2029]")
# Where a token, or what a rule reads after it, may reach across a space; elsewhere the words can be read one by one.
_ACROSS_SPACES = re.compile(r"<|[\d)] \d|\. [.\d]|\b[A-Za-z]\. +[A-Z]|[^\S ]")
# The commonest shapes of a caption and of a word, so that only the rest is scanned rule by rule.
_PLAIN_LINE = re.compile(r"[A-Za-z,' -]*\.?")
_CUT_WORD = r"(?:cannot|gonna|wanna|gotta|lemme|gimme)\b"
_SPACED_WORD = re.compile(rf" ?(?!{_CUT_WORD})([A-Za-z]+)(?=[ \n])", re.IGNORECASE | re.ASCII)
_PLAIN_WORD = re.compile(
    rf"(?!{_CUT_WORD}|{ABBREVIATION})([A-Za-z]+(?:-[A-Za-z]+)*)(?:[.,!?;:]|('s))?",
    re.IGNORECASE | re.ASCII,
)
# Last words after which the official tokenizer, which reads a whole file as one text, looks at the next caption.
_READS_ON = frozenset(["ca", "fig", "figs", "prop", "no", "nos", "art", "pp", "op"])
_MOST_CACHED, _LONGEST_CACHED = 1 << 17, 100
# Characters that a rule reads at first. It reads on only while all of them match, so that a text takes time in
# proportion to its length; a token whose last characters decide whether it is one at all is found within so many.
_READ_AHEAD = 256


def scan(line: str, following: str = "") -> list[str]:
    """All tokens of one line in lower case, punctuation included; `following` is the next line, only looked at."""
    text = f"{line}\n{following}\n"
    shape = kinds(text)
    tokens = []
    position = 0
    while position < len(line):
        plain = _SPACED_WORD.match(text, position)
        if plain:
            tokens.append(plain[1].lower())
            position = plain.end()
            continue
        longest, end = -1, position + 1
        spelling: str | Callable[[str], str] | None = ""
        for match, spelled in rules():
            found = _match(match, shape, position)
            if found and found.end() > longest:
                longest, end, spelling = found.end(), found.end(1), spelled
        token = text[position:end]
        if spelling is not None:
            token = spelling if isinstance(spelling, str) else spelling(token)
        if token:
            tokens.append(lower(token))
        position = end
    return tokens


def _match(match: Matcher, shape: str, position: int) -> re.Match[str] | None:
    ahead = _READ_AHEAD
    found = match(shape, position, position + ahead)
    while found and found.end() == position + ahead:
        ahead *= 2
        found = match(shape, position, position + ahead) or found
    return found


def _kept(tokens: list[str]) -> list[str]:
    return [token for token in tokens if token not in REMOVED]


def _words(text: str) -> list[str]:
    plain = _PLAIN_WORD.fullmatch(text)
    return [part.lower() for part in plain.groups() if part] if plain else _kept(scan(text))


def _words_of_line(line: str, following: str = "") -> list[str]:
    tokens = scan(line, following)
    if tokens:
        tokens[-1] = tokens[-1].rstrip()  # an address may hold an odd space, which ends the line there too
    return _kept(tokens)


class _CachedWords(dict[str, list[str]]):
    """The words of each piece of text between spaces: captions repeat a few thousand."""

    def __missing__(self, text: str) -> list[str]:
        if len(self) >= _MOST_CACHED:
            self.clear()
        words = _words(text)
        if len(text) <= _LONGEST_CACHED:
            self[text] = words
        return words


_cached_words = _CachedWords().__getitem__


def tokenize(caption: str) -> list[str]:
    """The lower-case words of a caption, without the punctuation that the official evaluation removes.

    A word may hold a no-break space ("3 1/2" and telephone numbers are one word).
    """
    if _PLAIN_LINE.fullmatch(caption):
        return list(chain.from_iterable(map(_cached_words, caption.split(" "))))
    line = _LINE_SEPARATORS.sub(" ", caption)
    if _ACROSS_SPACES.search(line):
        return _words_of_line(line)
    return list(chain.from_iterable(map(_cached_words, line.split(" "))))


def tokenize_all(captions: Sequence[str]) -> list[list[str]]:
    """`tokenize` for each caption of a file, as the official tokenizer reads the file.

    It differs from `tokenize` in one place: a caption that ends in a single letter and a dot ("reads K.") loses the dot
    when the next caption opens with a word such as "A" or "The", and one that ends in "no." or "fig." keeps it before a
    number.
    """
    tokens = [tokenize(caption) for caption in captions]
    for index, words in enumerate(tokens):
        if words and (words[-1][-1] == "." or words[-1] in _READS_ON):
            later = next((later for later in range(index + 1, len(captions)) if captions[later].strip()), index)
            following = "\n".join(_LINE_SEPARATORS.sub(" ", line) for line in captions[index + 1 : later + 1])
            tokens[index] = _words_of_line(_LINE_SEPARATORS.sub(" ", captions[index]), following)
    return tokens
