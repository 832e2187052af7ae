"""Options given in words, as the ids that a search takes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from captioning.errors import UserError
from captioning.generation.output import Generated
from captioning.text.subwords import Subwords
from captioning.text.tokenizer import tokenize
from captioning.text.vocabulary import UNK, Vocabulary

LONGEST = 40  # letters of a word whose neighbours are looked for
SINGLE = ("forbidden_words", "forbidden_endings")  # which would forbid each part of a word by itself
LISTS = ("forbidden_words", "forbidden_endings", "forced_prefix")


def with_vocabulary(generate: Callable[..., Generated], vocabulary: Vocabulary) -> Callable[..., Generated]:
    """`generate`, a strategy or a `functools.partial` of one, with the words among its options turned into ids."""
    if not isinstance(generate, partial):
        return generate
    return partial(generate.func, *generate.args, **word_ids(generate.keywords, vocabulary))


def word_ids(options: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """The options, every word replaced by its id; ids and options that take no words stay as they are.

    A text is read as captions are, so "a photo of" is three words. Among forced words a text is a phrase, and a list
    inside the list holds alternatives: `["frisbee", ["dog", "dogs"], "red ball"]`. Raises UserError naming the word
    that is not in the vocabulary.
    """
    ids = dict(options)
    for option in LISTS:
        if options.get(option):
            ids[option] = [i for item in as_list(options[option]) for i in phrase_ids(option, item, vocabulary)]
    if options.get("forced_words"):
        demands = as_list(options["forced_words"])
        ids["forced_words"] = [demand_ids(demand, vocabulary) for demand in demands]
    return ids


def as_list(value: Any) -> list[Any]:
    return [value] if isinstance(value, (str, int)) else list(value)


def demand_ids(demand: Any, vocabulary: Vocabulary) -> list[list[int]]:
    """One forced word, phrase or list of alternatives -> alternatives, each a list of ids."""
    return [phrase_ids("forced_words", phrase, vocabulary) for phrase in as_list(demand)]


def phrase_ids(option: str, phrase: int | str | Sequence[int], vocabulary: Vocabulary) -> list[int]:
    if isinstance(phrase, bool):
        raise UserError(f"generation.{option} holds {phrase}: YAML reads on, off, yes and no so; quote them")
    if not isinstance(phrase, str):
        return [phrase] if isinstance(phrase, int) else list(phrase)
    if not tokenize(phrase):
        raise UserError(f"generation.{option} holds {phrase!r}, which has no word in it")
    try:
        ids = vocabulary.spell(phrase, first=option == "forced_prefix")
    except KeyError as error:
        word = error.args[0]
        raise UserError(
            f"generation.{option} holds {word!r}, which is not in the model's vocabulary{nearest(word, vocabulary)}"
        ) from None
    if isinstance(vocabulary, Subwords) and option in SINGLE and len(ids) > 1:
        raise UserError(f"generation.{option} holds {phrase!r}, which is {len(ids)} tokens to this model, not one")
    return ids


def nearest(word: str, vocabulary: Vocabulary | Subwords) -> str:
    """The words of a vocabulary that are spelt most like `word`, as the end of a sentence; nothing where none is."""
    if isinstance(vocabulary, Subwords) or len(word) > LONGEST:
        return ""
    found = difflib.get_close_matches(word, vocabulary.words[UNK + 1 :], 3, 0.6)
    return f"; near to it are {', '.join(found)}" if found else ""
