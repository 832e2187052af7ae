"""Answers by classification from a bag of n-grams: what learns most from few questions.

Shapes: as in `captioning.heads.answers`; G are the n-grams of a question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from captioning.decoders.base import Context
from captioning.errors import UserError
from captioning.heads.answers import AnswerHead, Tokens
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.masking import masked_softmax
from captioning.memory import VisualMemory
from captioning.text.vocabulary import BOS, EOS, PAD

_FACTOR = 1_000_003  # a prime: places of n-grams in the table are spread, and the same on every machine


@dataclass
class BagOfNGramsContext(Context):
    """Tokens and their attention keys."""

    tokens: Tensor  # (B, N, W)
    keys: Tensor  # (B, N, W)
    mask: Tensor  # (B, N)


class BagOfNGrams(AnswerHead):
    """What a question's n-grams say of every answer, plus what their product with the tokens looked at says.

    Questions as bags of hashed n-grams (Joulin et al. 2017, arXiv:1607.01759) beside the image (Zhou et al. 2015,
    arXiv:1512.02167). Attention begins as the mean of all tokens and learns to leave it; what it finds is
    normalised over training images, for photos of rooms differ little from each other. The question has a say of its
    own, so that the product has only to learn what the image changes. An n-gram that fewer than `min_count` training
    questions have is left out: it would tell which question that was, and nothing of another.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        answers: int,
        longest: int = 3,
        buckets: int = 2**16,
        min_count: int = 2,
        width: int = 256,
        dropout: float = 0.5,
        gram_dropout: float = 0.2,
        token_positions: bool = False,
        blind: bool = False,
    ):
        super().__init__()
        if longest < 1 or buckets < 2:
            raise UserError(f"task.head.longest={longest}, buckets={buckets}: give at least 1 word and 2 places")
        self.longest, self.buckets, self.min_count = longest, buckets, min_count
        self.gram_dropout, self.blind = gram_dropout, blind
        self.grams = nn.Embedding(buckets, width, padding_idx=0)
        nn.init.zeros_(self.grams.weight)  # an n-gram that training never had says nothing
        self.register_buffer("known", torch.ones(buckets, dtype=torch.bool))
        self.tokens = Tokens(visual_width, width, dropout, token_positions)
        self.keys, self.query = Linear(width, width), Linear(width, width)
        nn.init.zeros_(self.query.weight)
        nn.init.zeros_(self.query.bias)
        self.apart = nn.BatchNorm1d(width, affine=False)
        self.seen, self.dropout = Linear(width, width), Dropout(dropout)
        self.alone, self.joint = Linear(width, answers), Linear(width, answers)

    def fit(self, questions: Iterable[Sequence[int]]) -> None:
        count = torch.zeros(self.buckets, dtype=torch.long)
        for words in questions:
            count[n_grams(torch.tensor(words), self.longest, self.buckets).unique()] += 1
        self.known.copy_(count >= self.min_count)

    def prepare(self, memory: VisualMemory) -> BagOfNGramsContext:
        tokens = self.tokens(memory)
        return BagOfNGramsContext(tokens, self.keys(tokens), memory.mask)

    def forward(self, context: BagOfNGramsContext, words: Tensor) -> tuple[Tensor, Tensor]:
        question = self.dropout(self.asked(words))  # (B, R, W)
        energy = self.query(question) @ context.keys.mT / context.keys.shape[-1] ** 0.5
        weights = masked_softmax(energy, context.mask[:, None])  # (B, R, N)
        said = self.alone(question)
        if not self.blind:
            seen = self.seen(self.told_apart(weights @ context.tokens)).relu()
            said = said + self.joint(self.dropout(seen * question))
        return said, weights

    def told_apart(self, seen: Tensor) -> Tensor:
        """What was looked at (B, R, W), normalised: in training over the step's rows, unless there is one alone."""
        rows = seen.flatten(0, 1)
        self.apart.train(self.training and len(rows) > 1)
        return self.apart(rows).view_as(seen)

    def asked(self, words: Tensor) -> Tensor:
        """words (B, R, T) -> the sum of their n-grams over the square root of how many there are, (B, R, W)."""
        places = n_grams(words, self.longest, self.buckets)  # (B, R, G)
        places = places * self.known[places]
        if self.training and self.gram_dropout:
            places = places * (torch.rand(places.shape, device=places.device) >= self.gram_dropout)
        count = (places > 0).sum(-1, keepdim=True).clamp(min=1)
        return self.grams(places).sum(-2) / count.sqrt()


def n_grams(words: Tensor, longest: int, buckets: int) -> Tensor:
    """words (..., T), padded with zeros at the end -> the places (..., G) of their n-grams in a table of `buckets`.

    A question is taken between a mark for its begin and one for its end; place 0 is no n-gram.
    """
    lengths = (words != PAD).sum(-1, keepdim=True)
    framed = torch.nn.functional.pad(words, (1, 1), value=PAD)
    framed[..., 0] = BOS
    framed = framed.scatter(-1, lengths + 1, EOS)
    found, code = [], torch.zeros_like(framed)
    for n in range(1, longest + 1):
        last = framed[..., n - 1 :]
        code = code[..., : last.shape[-1]] * _FACTOR + last + 1  # wraps around, alike everywhere
        found.append(torch.where(last != PAD, code % (buckets - 1) + 1, 0))
    return torch.cat(found, -1)
