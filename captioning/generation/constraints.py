"""What a caption may not say: small objects over word ids, which every way of generating obeys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from captioning.errors import UserError
from captioning.runtime.option_checks import require_whole
from captioning.text.vocabulary import BOS, EOS, PAD, UNK

NEVER = (PAD, BOS, UNK)


class Constraint(Protocol):
    """Anything with this method is a constraint, and may be handed to a search in `constraints`."""

    def forbid(self, logits: Tensor, words: Tensor) -> None:
        """Sets logits (B, R, V) to -inf, in place, for what may not come after words (B, R, t)."""


@dataclass
class ForbiddenWords:
    """These ids are never said."""

    ids: Tensor

    def forbid(self, logits: Tensor, words: Tensor) -> None:
        logits.index_fill_(-1, self.ids, -torch.inf)


@dataclass
class MinWords:
    """No end before `count` words."""

    count: int

    def forbid(self, logits: Tensor, words: Tensor) -> None:
        if words.shape[-1] < self.count:
            logits[..., EOS] = -torch.inf


@dataclass
class NoRepeat:
    """No word twice in a row."""

    def forbid(self, logits: Tensor, words: Tensor) -> None:
        logits.scatter_(-1, words[..., -1:], -torch.inf)


@dataclass
class BlockNgrams:
    """No sequence of `size` words twice in a caption (Paulus et al. 2018, arXiv:1705.04304)."""

    size: int

    def forbid(self, logits: Tensor, words: Tensor) -> None:
        if words.shape[-1] < self.size:
            return
        said = words.unfold(-1, self.size, 1)  # (B, R, t - size + 1, size)
        newest = words[..., words.shape[-1] - self.size + 1 :]  # (B, R, size - 1)
        begun = (said[..., :-1] == newest[..., None, :]).all(-1)
        logits.scatter_(-1, torch.where(begun, said[..., -1], PAD), -torch.inf)


@dataclass
class ForbiddenEndings:
    """No caption ends with one of these ids, whether it ends by itself or is cut at `max_words`."""

    ids: Tensor
    max_words: int

    def forbid(self, logits: Tensor, words: Tensor) -> None:
        if words.shape[-1] == self.max_words - 1:
            logits.index_fill_(-1, self.ids, -torch.inf)
        bad = torch.isin(words[..., -1:], self.ids).any(-1)  # (B, R)
        logits[..., EOS] = logits[..., EOS].masked_fill(bad, -torch.inf)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The options that every way of generating shares. Words are ids.

    A caption has between `min_words` and `max_words` words; one that reaches `max_words` is cut there, without EOS,
    and competes with the others as it is. PAD, BOS and UNK are never said. Where the limits leave no word at all,
    the caption ends.
    """

    min_words: int = 1
    max_words: int = 20
    block_ngrams: int = 0  # 3: no three words twice; 0: off
    block_repeats: bool = False  # no word twice in a row
    forbidden_words: Sequence[int] = ()
    forbidden_endings: Sequence[int] = ()  # words that no caption may end with, such as "a" and "on"
    forced_prefix: Sequence[int] = ()  # the caption's first words, free of every other limit
    forced_words: Sequence[int | Sequence[int | Sequence[int]]] = ()  # see captioning.generation.forced
    constraints: Sequence[Constraint] = field(default=())  # one's own

    def __post_init__(self):
        whole = ("min_words", "max_words", "block_ngrams")
        require_whole("generation.", **{name: getattr(self, name) for name in whole})
        if not 1 <= self.min_words <= self.max_words:
            raise UserError(
                f"generation.min_words is {self.min_words} and generation.max_words is {self.max_words}: "
                "a caption has at least one word, and min_words is at most max_words"
            )
        if self.block_ngrams < 0:
            raise UserError(
                f"generation.block_ngrams is {self.block_ngrams}: give the length of an n-gram, or 0 for none"
            )
        if len(self.forced_prefix) >= self.max_words:
            raise UserError(
                f"generation.forced_prefix has {len(self.forced_prefix)} words and leaves none of generation.max_words="
                f"{self.max_words}: shorten the prefix or raise max_words"
            )
        for name in ("forbidden_words", "forbidden_endings", "forced_prefix"):
            for word in getattr(self, name):
                check_word(name, word)

    def ids(self) -> list[int]:
        """Every id that an option names."""
        return flatten([self.forbidden_words, self.forbidden_endings, self.forced_prefix, self.forced_words])

    def active(self, device: torch.device) -> list[Constraint]:
        """The constraints that these limits stand for, their ids on `device`."""
        active: list[Constraint] = [ForbiddenWords(torch.tensor([*NEVER, *self.forbidden_words], device=device))]
        active.append(MinWords(self.min_words))
        if self.block_repeats:
            active.append(NoRepeat())
        if self.block_ngrams:
            active.append(BlockNgrams(self.block_ngrams))
        if self.forbidden_endings:
            active.append(ForbiddenEndings(torch.tensor(list(self.forbidden_endings), device=device), self.max_words))
        return [*active, *self.constraints]


def flatten(nested: int | Sequence[Any]) -> list[int]:
    """The integers in sequences of any depth."""
    return [nested] if isinstance(nested, int) else [number for part in nested for number in flatten(part)]


def check_word(option: str, word: Any) -> None:
    """Raises UserError unless `word` is the id of a word, not of a special."""
    if not isinstance(word, int):
        raise UserError(f"generation.{option} holds {word!r}: give ids, or turn words into ids with `word_ids` first")
    if word <= UNK:
        raise UserError(f"generation.{option} holds the id {word}, which is not a word's: words begin at {UNK + 1}")


def limits(strategy: str, options: Mapping[str, Any], meaningless: Mapping[str, str]) -> Limits:
    """The limits among a strategy's keyword arguments.

    `meaningless` maps an option that other strategies have to why this one has no use for it. Raises UserError for
    such an option, unless it asks for nothing (None, or empty), and for one that no strategy knows.
    """
    known = [f.name for f in fields(Limits)]
    for name, value in options.items():
        if name in meaningless and value is not None and value != () and value != []:
            raise UserError(f"generation.{name} has no meaning for {strategy}: {meaningless[name]}")
        if name not in known and name not in meaningless:
            raise UserError(f"{strategy} has no option {name!r}; every way of generating knows {', '.join(known)}")
    return Limits(**{name: value for name, value in options.items() if name in known})


class Rules:
    """Limits at work in one search."""

    def __init__(self, limits: Limits, device: torch.device):
        self.prefix = list(limits.forced_prefix)
        self.constraints = limits.active(device)
        self.highest = max(limits.ids(), default=0)

    def apply(self, logits: Tensor, words: Tensor) -> None:
        """Sets logits (B, R, V) to -inf, in place, for what may not come after words (B, R, t), t = 0 at first."""
        step = words.shape[-1]
        if self.highest >= logits.shape[-1]:
            raise UserError(f"a generation option names the id {self.highest}, but there are {logits.shape[-1]} words")
        if step < len(self.prefix):
            forced = logits[..., self.prefix[step]].clone()
            logits.fill_(-torch.inf)
            logits[..., self.prefix[step]] = forced
            return
        end = logits[..., EOS].clone()
        for constraint in self.constraints:
            constraint.forbid(logits, words)
        stuck = logits.amax(-1) == -torch.inf
        logits[..., EOS] = torch.where(stuck, end, logits[..., EOS])
