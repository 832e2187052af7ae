"""The one beam search behind `beam` and `diverse_beam`.

A beam holds the likeliest hypotheses of an image. Where it keeps finished ones, one has its place for as long as it is
among them: one hypothesis finds what greedy search finds, and as many as there are captions find the best one. Where
it releases them, a finished one takes a place in the step that finishes it and none later, so that longer captions,
which a normalised score may prefer, are not crowded out. Where they stand aside it takes no place even then. With
forced words an image has a beam for every number of words still to be forced; with groups, a set of beams for each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from captioning.decoders.base import Context, Decoder, State
from captioning.generation.batch import FinishedCaptions, due
from captioning.generation.candidates import best_words
from captioning.generation.constraints import Limits, Rules
from captioning.generation.forced import ForcedOfEach
from captioning.layers.masking import select_rows
from captioning.text.vocabulary import BOS, EOS, PAD


@dataclass(frozen=True)
class Plan:
    """What a search is to do."""

    width: int  # hypotheses in a beam
    groups: int  # beams that keep apart, 1 for plain search
    diversity: float  # log-probability that a word costs a group for each hypothesis of earlier groups that says it
    captions: int  # best captions to keep of every group
    norms: list[float]  # what a log-probability is divided by, by length; never falls
    finished: Literal["keep", "release", "aside"] = "keep"


@dataclass
class Beams(State):
    """Unfinished hypotheses. A row of score -inf is empty."""

    words: Tensor  # (B, R, max_words)
    last: Tensor  # (B, R) the newest word
    scores: Tensor  # (B, R) log-probability
    group: Tensor  # (B, R)
    forced: Tensor  # (B, R) state of the forced words


@dataclass
class Ended(State):
    """What the groups of an image have finished. Its rows are the G groups."""

    beam: Tensor  # (B, G, width) log-probabilities of those that hold a place in a beam; -inf for none
    scores: Tensor  # (B, G, captions) normalised, best first
    words: Tensor  # (B, G, captions, max_words)


@dataclass
class Chosen:
    """The candidates that got a place in a beam, beam after beam: S = G * (forced words + 1) * width. -inf: no one.

    Twice the width where finished ones stand aside.
    """

    index: Tensor  # (B, S) into the candidates
    scores: Tensor  # (B, S) log-probability


@dataclass
class Candidates:
    """Every hypothesis one word on, C = R times words a row."""

    row: Tensor  # (C,) the row it continues
    words: Tensor  # (B, C)
    scores: Tensor  # (B, C) log-probability
    group: Tensor  # (B, C)
    forced: Tensor  # (B, C) state of the forced words
    remaining: Tensor  # (B, C) words still to be forced


class Search:
    """One beam search over one batch. `run` does it."""

    def __init__(self, context: Context, plan: Plan, limits: Limits, forced: ForcedOfEach | None):
        self.plan, self.limits, self.forced = plan, limits, forced
        self.device = context.device
        self.rules = Rules(limits, self.device)
        self.answers = FinishedCaptions(len(context), plan.groups * plan.captions, limits.max_words, self.device)

    def run(self, decoder: Decoder, context: Context) -> tuple[Tensor, Tensor]:
        """-> words (B, G * captions, max_words) and normalised scores (B, G * captions), best first."""
        if not len(context):
            return self.answers.words, self.answers.scores
        beams, ended = self.begin(len(context))
        state = decoder.start(context, self.plan.groups)
        for step in range(self.limits.max_words):
            logits, state, _ = decoder.step(context, state, beams.last)  # (B, R, V)
            candidates = self.expand(beams, logits.float(), step)
            chosen, ended = self.choose(candidates, ended, step)
            beams, ended, rows = self.advance(chosen, candidates, beams, ended, step)
            if due(step, self.device):
                live = beams.scores > -torch.inf  # (B, S), empty rows last
                stay = self.answers.leave(~live.any(1), *self.best(ended))
                if stay is not None:
                    if not len(stay):
                        return self.answers.words, self.answers.scores
                    context, state = context.keep(stay), state.keep(stay)
                    if self.forced:
                        self.forced.keep(stay)
                    beams, ended = beams.keep(stay), ended.keep(stay)
                    rows, live = rows[stay], live[stay]
                used = torch.arange(max(1, int(live.sum(1).max())), device=self.device).expand(len(live), -1)
                beams, rows = beams.select(used), select_rows(rows, used)
            state = state.select(rows)
        self.answers.record(*self.best(ended))
        return self.answers.words, self.answers.scores

    def begin(self, images: int) -> tuple[Beams, Ended]:
        plan, device = self.plan, self.device

        def blank(*shape: int) -> Tensor:
            return torch.full((images, plan.groups, *shape, self.limits.max_words), PAD, device=device)

        group = torch.arange(plan.groups, device=device).expand(images, -1)
        zeros = torch.zeros_like(group)
        beams = Beams(blank(), zeros + BOS, zeros.float(), group, zeros)
        nothing = torch.full((images, plan.groups, 1), -torch.inf, device=device)
        return beams, Ended(nothing.repeat(1, 1, plan.width), nothing.repeat(1, 1, plan.captions), blank(plan.captions))

    def expand(self, beams: Beams, logits: Tensor, step: int) -> Candidates:
        """The words that can matter after every row: logits (B, R, V) -> candidates."""
        images, rows, size = logits.shape
        total = logits.logsumexp(-1, keepdim=True)
        self.rules.apply(logits, beams.words[..., :step])
        if self.forced:
            asked = self.forced.words[:, None].expand(-1, rows, -1)  # (B, R, F)
            forcing = logits.gather(-1, asked)
            logits.scatter_(-1, asked, -torch.inf)
            open_demands = self.forced.to_go(beams.forced) > 0
            logits[..., EOS] = logits[..., EOS].masked_fill(open_demands, -torch.inf)
        # the words of earlier groups may all be among a row's best, and too dear
        aside = self.plan.finished == "aside"  # an end among a row's best is no loss to its other words
        values, ids = best_words(logits, min(self.plan.width * self.plan.groups + aside, size))
        kind = torch.zeros(ids.shape[-1], dtype=torch.long, device=self.device)
        if self.forced:
            values = torch.cat([values, forcing], -1)
            ids = torch.cat([ids, asked], -1)
            kind = torch.cat([kind, 1 + torch.arange(asked.shape[-1], device=self.device)])
        scores = beams.scores[..., None] + (values - total).clamp(max=0)  # (B, R, words a row)
        state = remaining = torch.zeros_like(ids)
        if self.forced:
            state = self.forced.after(beams.forced, kind)  # (B, R, words a row)
            remaining = self.forced.to_go(state)
            scores = scores.masked_fill(remaining > self.limits.max_words - step - 1, -torch.inf)
        row = torch.arange(rows, device=self.device).repeat_interleave(ids.shape[-1])
        group = beams.group[:, row]
        return Candidates(row, ids.flatten(1), scores.flatten(1), group, state.flatten(1), remaining.flatten(1))

    def choose(self, candidates: Candidates, ended: Ended, step: int) -> tuple[Chosen, Ended]:
        """Fills every beam with its best: candidates, and the finished hypotheses that are still among them."""
        plan, indices, scores, beam = self.plan, [], [], []
        levels = 1 + (self.forced.needed if self.forced else 0)
        said = candidates.words[:, :0]  # (B, words of earlier groups)
        for group in range(plan.groups):
            price = plan.diversity * self.repeats(candidates.words, said) if group else 0.0
            for level in range(levels):
                mine = (candidates.group == group) & (candidates.remaining == level)
                pool = candidates.scores.masked_fill(~mine, -torch.inf)
                if plan.finished == "aside":
                    ending = candidates.words == EOS if step < self.limits.max_words - 1 else None
                    index, score = best_aside(pool, pool - price, ending, plan.width)
                    finished = ended.beam[:, group]
                else:
                    holding = ended.beam[:, group] if level == 0 and plan.finished == "keep" else None
                    index, score, finished = best_of(pool, price, holding, plan.width)
                indices.append(index)
                scores.append(score)
                if level == 0:
                    beam.append(finished)
            empty = torch.cat(scores, 1) == -torch.inf
            said = candidates.words.gather(1, torch.cat(indices, 1)).masked_fill(empty, PAD)
        return Chosen(torch.cat(indices, 1), torch.cat(scores, 1)), replace(ended, beam=torch.stack(beam, 1))

    @staticmethod
    def repeats(words: Tensor, said: Tensor) -> Tensor:
        """words (B, C), said (B, U) -> how many of `said` each is (B, C). To end is no repetition."""
        return (words[..., None] == said[:, None]).sum(-1).masked_fill(words == EOS, 0)

    def advance(
        self, chosen: Chosen, candidates: Candidates, beams: Beams, ended: Ended, step: int
    ) -> tuple[Beams, Ended, Tensor]:
        """-> beams one word on, best first; what has ended by now; the rows (B, S) that the beams continue."""
        rows = candidates.row[chosen.index]
        last = candidates.words.gather(1, chosen.index)
        words = select_rows(beams.words, rows)
        words[..., step] = last
        finishing = last == EOS if step < self.limits.max_words - 1 else torch.ones_like(last, dtype=torch.bool)
        ended = self.end(ended, words, chosen.scores.masked_fill(~finishing, -torch.inf), step)
        scores = self.drop_hopeless(chosen.scores.masked_fill(finishing, -torch.inf), ended)
        scores, order = scores.sort(dim=1, descending=True, stable=True)
        kept = chosen.index.gather(1, order)
        group, forced = candidates.group.gather(1, kept), candidates.forced.gather(1, kept)
        advanced = Beams(select_rows(words, order), last.gather(1, order), scores, group, forced)
        return advanced, ended, rows.gather(1, order)

    def end(self, ended: Ended, words: Tensor, scores: Tensor, step: int) -> Ended:
        """Takes hypotheses that finish, words (B, S, max_words) and log-probabilities (B, S), among the best ones."""
        shape = (len(scores), self.plan.groups, -1)
        beam = torch.maximum(ended.beam, scores.view(shape)[..., : self.plan.width])  # a place is held by one of both
        scores = torch.cat([ended.scores, scores.view(shape) / self.plan.norms[step + 1]], -1)  # (B, G, captions + n)
        words = torch.cat([ended.words, words.view(*shape, words.shape[-1])], 2)
        scores, order = scores.sort(dim=-1, descending=True, stable=True)
        order = order[..., : self.plan.captions]
        words = words.gather(2, order[..., None].expand(-1, -1, -1, words.shape[-1]))
        return replace(ended, scores=scores[..., : self.plan.captions], words=words, beam=beam)

    def drop_hopeless(self, scores: Tensor, ended: Ended) -> Tensor:
        """scores (B, S) of unfinished hypotheses, -inf for those that cannot win any more.

        A log-probability only falls, and is divided by most at the greatest length: what it would be there is the
        best it can become. What its continuations would keep out of the beam is less likely than they are, so hopeless
        as well: the answer is that of a search that drops nothing. Groups depend on each other's words, so of them
        all stop or none.
        """
        bound = scores.view(len(scores), self.plan.groups, -1) / self.plan.norms[-1]
        hopeless = (bound <= ended.scores[..., -1:]).flatten(1)
        if self.plan.groups > 1:
            hopeless = hopeless.all(1, keepdim=True)
        return scores.masked_fill(hopeless, -torch.inf)

    @staticmethod
    def best(ended: Ended) -> tuple[Tensor, Tensor]:
        """All groups' captions together, best first: (B, G * captions, max_words) and (B, G * captions)."""
        scores, order = ended.scores.flatten(1).sort(dim=1, descending=True, stable=True)
        return select_rows(ended.words.flatten(1, 2), order), scores


def best_aside(pool: Tensor, rank: Tensor, ending: Tensor | None, width: int) -> tuple[Tensor, Tensor]:
    """The best `width` of candidates that go on, and those that end among the best `width` of all.

    pool (B, C) of scores, rank (B, C) by which they are chosen, ending (B, C); None where nothing is left to go on.
    -> candidates (B, 2 * width) and their scores, -inf for none.
    """
    if ending is None:
        ending = torch.zeros_like(pool, dtype=torch.bool)
    order = rank.sort(dim=1, descending=True, stable=True).indices
    ends = ending.gather(1, order)
    going = (~ends).cumsum(1) <= width
    taken = torch.where(ends, torch.arange(order.shape[1], device=order.device) < width, going)
    places = (~taken).byte().argsort(dim=1, stable=True)[:, : 2 * width]
    index = order.gather(1, places)
    scores = pool.gather(1, index).masked_fill(~taken.gather(1, places), -torch.inf)
    missing = 2 * width - index.shape[1]
    return torch.nn.functional.pad(index, (0, missing)), torch.nn.functional.pad(scores, (0, missing), value=-torch.inf)


def best_of(pool: Tensor, price: Tensor | float, finished: Tensor | None, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best `width` of candidates, pool (B, C) less price (B, C), and of finished hypotheses (B, width).

    -> candidates (B, width), their scores, and the scores of the finished that are left, with -inf for none in both.
    """
    taken = pool.new_full((len(pool), width), -torch.inf) if finished is None else finished
    scores = torch.cat([taken, pool], 1)
    order = torch.cat([taken, pool - price], 1).sort(dim=1, descending=True, stable=True).indices[:, :width]
    scores, candidate = scores.gather(1, order), order >= width
    index = (order - width).clamp(min=0)
    return index, scores.masked_fill(~candidate, -torch.inf), scores.masked_fill(candidate, -torch.inf)
