"""Words that a caption must contain, as a finite-state machine that a beam search walks (Anderson et al. 2017,
arXiv:1612.00576)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.errors import UserError
from captioning.generation.constraints import Limits, check_word
from captioning.text.vocabulary import PAD

MAX_STATES = 4096

Phrase = tuple[int, ...]
Demands = Sequence[int | Sequence[int | Sequence[int]]]


class Progress(NamedTuple):
    """What a caption so far has of the forced words."""

    unmet: tuple[int, ...]  # which demands are open
    recent: Phrase  # its last words, as far as they begin a phrase that an open demand accepts


class ForcedWords:
    """Which forced words each row has said, and how many words it still has to.

    A demand is a word, or a list of alternatives of which one is enough; an alternative is a word or a sequence of
    words that must stand together. `[7, [8, 9], [[4, 5]]]` demands 7, and 8 or 9, and 4 followed by 5.

    State 0 is a caption before its first word. `remaining` counts words, so that half a phrase is worth more than
    none of it; a search keeps a beam for every value (the grid of Hokamp & Liu 2017, arXiv:1704.07138).
    """

    def __init__(self, demands: Sequence[int | Sequence[int | Sequence[int]]], device: torch.device):
        self.demands = [as_phrases(demand) for demand in demands]
        vocabulary = sorted({word for phrases in self.demands for phrase in phrases for word in phrase})
        states = {Progress(tuple(range(len(self.demands))), ()): 0}
        queue, table = list(states), []
        for state in queue:  # grows while it is read
            reached = [self.after(state, word) for word in (None, *vocabulary)]
            queue += [new for new in dict.fromkeys(reached) if new not in states]
            table.append([states.setdefault(new, len(states)) for new in reached])
            if len(states) > MAX_STATES:
                raise UserError("generation.forced_words asks for too many words at once: force fewer words a caption")
        self.words = torch.tensor(vocabulary, dtype=torch.long, device=device)  # (F,) the words that make progress
        self.table = torch.tensor(table, device=device)  # (S, 1 + F) the next state: after any other word, after each
        self.remaining = torch.tensor([self.count(state) for state in queue], device=device)  # (S,) words to go
        self.needed = self.count(queue[0])

    def after(self, state: Progress, word: int | None) -> Progress:
        """One word further; None stands for every word that no demand names."""
        if word is None:
            return state._replace(recent=())
        said = (*state.recent, word)
        unmet = tuple(i for i in state.unmet if not any(said[-len(p) :] == p for p in self.demands[i]))
        open_phrases = [phrase for i in unmet for phrase in self.demands[i]]
        ends = (said[start:] for start in range(len(said)))
        recent = next((end for end in ends if any(p[: len(end)] == end for p in open_phrases)), ())
        return Progress(unmet, recent)

    def count(self, state: Progress) -> int:
        """Words that are enough to meet every open demand. Only one phrase at a time counts as begun."""
        shortest = {i: min(map(len, self.demands[i])) for i in state.unmet}
        ends = [state.recent[start:] for start in range(len(state.recent))]
        begun = [
            shortest[i] - (len(phrase) - len(end))
            for i, end in product(state.unmet, ends)
            for phrase in self.demands[i]
            if phrase[: len(end)] == end
        ]
        return sum(shortest.values()) - max([0, *begun])


class ForcedOfEach:
    """The machines of B images, side by side: each has its own demands, or all the same."""

    def __init__(self, machines: Sequence[ForcedWords]):
        """Shorter ones are filled up with words that are never said, and states that nothing reaches."""
        pad = nn.utils.rnn.pad_sequence
        most = max(len(machine.words) for machine in machines)
        tables = [F.pad(machine.table, (0, most - len(machine.words))) for machine in machines]
        self.words = pad([machine.words for machine in machines], batch_first=True, padding_value=PAD)  # (B, F)
        self.table = pad(tables, batch_first=True)  # (B, S, 1 + F)
        self.remaining = pad([machine.remaining for machine in machines], batch_first=True)  # (B, S)
        self.needed = max(machine.needed for machine in machines)

    def keep(self, images: Tensor) -> None:
        """Goes on with these images alone, by their places among those of now."""
        self.words, self.table, self.remaining = self.words[images], self.table[images], self.remaining[images]

    def after(self, states: Tensor, kinds: Tensor) -> Tensor:
        """The states (B, R, W) behind rows in `states` (B, R), after words of `kinds` (W,), 0 for any other."""
        rows = self.table.gather(1, states[..., None].expand(-1, -1, self.table.shape[2]))  # (B, R, 1 + F)
        return rows[..., kinds]

    def to_go(self, states: Tensor) -> Tensor:
        """How many words are still to be forced in each state (B, ...)."""
        return self.remaining.gather(1, states.flatten(1)).view(states.shape)


def as_phrases(demand: int | Sequence[int | Sequence[int]]) -> list[Phrase]:
    """The alternatives of one demand, each a tuple of ids. Raises UserError for what is not ids of words."""
    alternatives = [demand] if isinstance(demand, int) else list(demand)
    phrases = [(phrase,) if isinstance(phrase, int) else tuple(phrase) for phrase in alternatives]
    if not phrases or not all(phrases):
        raise UserError("generation.forced_words holds an empty list: give at least one word")
    for phrase in phrases:
        for word in phrase:
            check_word("forced_words", word)
    return phrases


def forced_words(
    limits: Limits, images: int, device: torch.device, of_each: Sequence[Demands] | None = None
) -> ForcedOfEach | None:
    """The machines for `limits.forced_words`, or for those `of_each` image in their place; None without any.

    Raises UserError where the limits contradict them.
    """
    if of_each is None and not limits.forced_words or not images:
        return None
    if of_each is None:
        return ForcedOfEach([forced_machine(limits.forced_words, limits, device)] * images)
    return ForcedOfEach([forced_machine(demands, limits, device) for demands in of_each])


def forced_machine(forced: Demands, limits: Limits, device: torch.device) -> ForcedWords:
    """The machine for these demands. Raises UserError where the limits contradict them."""
    demands = [as_phrases(demand) for demand in forced]
    machine = _machine(tuple(map(tuple, demands)), device)
    forbidden = set(limits.forbidden_words)
    for phrases in machine.demands:
        if all(forbidden & set(phrase) for phrase in phrases):
            raise UserError("generation.forced_words and generation.forbidden_words name the same word")
    room = limits.max_words - len(limits.forced_prefix)
    if machine.needed > room:
        raise UserError(
            f"generation.forced_words needs {machine.needed} words and generation.max_words leaves {room}: raise it"
        )
    return machine


@lru_cache(maxsize=256)
def _machine(demands: tuple[tuple[Phrase, ...], ...], device: torch.device) -> ForcedWords:
    """One machine for all searches with these demands: many ways to say two things take as long as a short search."""
    return ForcedWords(demands, device)
