"""Answers by classification: what a question and the tokens of its image say of every answer of a list.

Shapes: B images, R questions an image, T words, N visual tokens, D their width, W width, A answers. Words are padded
with zeros at the end. What depends on the image alone is made once, by `prepare`, and never copied for its questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from captioning.decoders.base import Context
from captioning.errors import UserError
from captioning.layers.additive_attention import AdditiveAttention
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.masking import masked_softmax
from captioning.layers.multi_head_attention import CrossAttention, KeysValues, SelfAttention, additive_mask
from captioning.layers.positions import WordPositions, token_positions
from captioning.memory import VisualMemory
from captioning.text.vocabulary import PAD, UNK


class AnswerHead(nn.Module):
    """Says how likely each answer is. A subclass implements `prepare` and `forward`.

    It takes `visual_width` (D), `vocabulary_size` and `answers` (A) as its first keyword arguments. The law: what it
    says of a question depends on its image and its words, not on other questions, images or padding.
    """

    def fit(self, questions: Iterable[Sequence[int]]) -> None:
        """Once before training, with the words of every training question, for what a head counts of them."""

    def prepare(self, memory: VisualMemory) -> Context:
        """Once per image."""
        raise NotImplementedError

    def forward(self, context: Context, words: Tensor) -> tuple[Tensor, Tensor]:
        """words (B, R, T) -> logits (B, R, A), and where it looked (B, R, N), rows that sum to one."""
        raise NotImplementedError


class Gated(nn.Module):
    """One non-linear layer of Teney et al. 2018 (arXiv:1708.02711): tanh(W x) * sigmoid(W' x); or with ReLU alone,
    and weight norm, as its re-implementations have it."""

    def __init__(self, inputs: int, width: int, activation: Literal["gated_tanh", "relu"]):
        super().__init__()
        if activation not in ("gated_tanh", "relu"):
            raise UserError(f"task.head.activation is {activation!r}: it is gated_tanh or relu")
        self.gated = activation == "gated_tanh"
        layer = nn.Linear(inputs, 2 * width if self.gated else width)
        self.layer = layer if self.gated else nn.utils.parametrizations.weight_norm(layer, dim=None)

    def forward(self, x: Tensor) -> Tensor:
        """(..., I) -> (..., W)."""
        if not self.gated:
            return self.layer(x).relu()
        value, gate = self.layer(x).chunk(2, -1)
        return value.tanh() * gate.sigmoid()


class Tokens(nn.Module):
    """Tokens normalised and brought to a width, with what tells where they are."""

    def __init__(self, visual_width: int, width: int, dropout: float, positions: bool):
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(visual_width), Dropout(dropout), Linear(visual_width, width))
        self.width, self.positions = width, positions

    def forward(self, memory: VisualMemory) -> Tensor:
        """-> (B, N, W)."""
        x = self.layers(memory.tokens)
        return x + token_positions(memory, self.width) if self.positions else x


class QuestionWords(nn.Module):
    """Words as vectors; in training a word is unknown with chance `word_dropout`: so that one means something."""

    def __init__(self, vocabulary_size: int, width: int, dropout: float, word_dropout: float):
        super().__init__()
        self.embed = nn.Embedding(vocabulary_size, width, padding_idx=PAD)
        self.dropout, self.word_dropout = Dropout(dropout), word_dropout

    def forward(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """words (B, R, T) -> vectors (B * R, T, W), and True where a word is real; the first always is."""
        words = words.flatten(0, 1)
        real = words != PAD
        if self.training and self.word_dropout:
            hidden = torch.rand(words.shape, device=words.device) < self.word_dropout
            words = words.masked_fill(real & hidden, UNK)
        first = torch.arange(words.shape[1], device=words.device) == 0
        return self.dropout(self.embed(words)), real | first


def last_state(read: nn.GRU, vectors_of: QuestionWords, words: Tensor) -> Tensor:
    """The state after a question's last word: words (B, R, T) -> (B, R, W)."""
    vectors, real = vectors_of(words)
    lengths = real.sum(1).cpu()  # no step is spent on padding, of which questions of one image have much
    packed = nn.utils.rnn.pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
    return read(packed)[1][0].view(*words.shape[:2], -1)


@dataclass
class UpDownAnswersContext(Context):
    """Tokens and their attention keys."""

    tokens: Tensor  # (B, N, W)
    keys: Tensor  # (B, N, A or 2A)
    mask: Tensor  # (B, N)


class UpDownAnswers(AnswerHead):
    """A recurrent network reads the question, attention looks for it, their product is classified.

    Anderson et al. 2018 (arXiv:1707.07998), section 3.3; Teney et al. 2018 (arXiv:1708.02711). The product of two gates
    is small and hardly differs from image to image: it is normalised, without which learning rests for hundreds of
    steps on what the question alone tells. `blind` leaves the
    image out and `deaf` the question: what they reach is what guessing from the other alone does.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        answers: int,
        embedding: int = 300,
        width: int = 512,
        attention: int = 256,
        dropout: float = 0.5,
        word_dropout: float = 0.05,
        activation: Literal["gated_tanh", "relu"] = "gated_tanh",
        token_positions: bool = True,
        blind: bool = False,
        deaf: bool = False,
    ):
        super().__init__()
        self.words = QuestionWords(vocabulary_size, embedding, dropout, word_dropout)
        self.read = nn.GRU(embedding, width, batch_first=True)
        self.tokens = Tokens(visual_width, width, dropout, token_positions)
        energies = 2 * attention if activation == "gated_tanh" else attention
        self.keys, self.query = Linear(width, energies), Linear(width, energies)
        self.score = Linear(attention, 1, bias=False)
        self.question, self.seen = Gated(width, width, activation), Gated(width, width, activation)
        self.joint, self.last = nn.LayerNorm(width), Gated(width, 2 * width, activation)
        self.dropout, self.answer = Dropout(dropout), Linear(2 * width, answers)
        self.gated, self.blind, self.deaf = activation == "gated_tanh", blind, deaf

    def prepare(self, memory: VisualMemory) -> UpDownAnswersContext:
        tokens = self.tokens(memory)
        return UpDownAnswersContext(tokens, self.keys(tokens), memory.mask)

    def forward(self, context: UpDownAnswersContext, words: Tensor) -> tuple[Tensor, Tensor]:
        question = last_state(self.read, self.words, words)  # (B, R, W)
        if self.deaf:
            question = torch.zeros_like(question)
        energy = context.keys[:, None] + self.query(question)[:, :, None]  # (B, R, N, A or 2A), the largest tensor
        if self.gated:
            value, gate = energy.chunk(2, -1)
            energy = value.tanh() * gate.sigmoid()
        else:
            energy = energy.relu()
        weights = masked_softmax(self.score(energy).squeeze(-1), context.mask[:, None])  # (B, R, N)
        seen = self.seen(weights @ context.tokens)  # (B, R, W)
        asked = self.question(question)
        joint = asked if self.blind else seen if self.deaf else asked * seen
        return self.answer(self.dropout(self.last(self.joint(joint)))), weights


@dataclass
class CoAttentionContext(Context):
    """Tokens aware of each other, as keys and values of every layer and as what is looked at last."""

    layers: list[KeysValues]  # (B, H, N, d) each
    tokens: Tensor  # (B, N, W)
    keys: Tensor  # (B, N, W)
    mask: Tensor  # (B, N)


class CoAttention(AnswerHead):
    """A Transformer in which words look at words and at tokens, in the manner of MCAN (Yu et al. 2019).

    There (arXiv:1906.10770) the tokens of an image are changed by its question, layer by layer. Here they look at each
    other once for all questions, and the words look at them: the same two kinds of attention, and nothing of an image
    is ever copied. The question is then a weighted mean of its words, looks at the tokens once more, and both add up.
    """

    def __init__(
        self,
        *,
        visual_width: int,
        vocabulary_size: int,
        answers: int,
        width: int = 256,
        layers: int = 3,
        heads: int = 8,
        feed_forward: int = 1024,
        encoder_layers: int = 1,
        dropout: float = 0.1,
        word_dropout: float = 0.05,
        token_positions: bool = True,
    ):
        super().__init__()
        if heads < 1 or width % heads:
            raise UserError(f"task.head.heads={heads}: it has to divide task.head.width, which is {width}")
        self.words = QuestionWords(vocabulary_size, width, dropout, word_dropout)
        self.positions = WordPositions(width)
        self.tokens = Tokens(visual_width, width, dropout, token_positions)
        self.encoder = nn.ModuleList(
            Layer(width, heads, feed_forward, dropout, guided=False) for _ in range(encoder_layers)
        )
        self.layers = nn.ModuleList(Layer(width, heads, feed_forward, dropout, guided=True) for _ in range(layers))
        self.norm, self.token_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.weigh = nn.Sequential(Linear(width, width), nn.GELU(), Linear(width, 1))
        self.attend = AdditiveAttention(width, width, width)
        self.dropout, self.answer = Dropout(dropout), Linear(width, answers)
        self.joint = nn.LayerNorm(width)

    def prepare(self, memory: VisualMemory) -> CoAttentionContext:
        tokens = self.tokens(memory)
        bias = additive_mask(memory.mask, tokens.dtype)[:, None, None]  # (B, 1, 1, N)
        for layer in self.encoder:
            tokens = layer(tokens, bias)
        tokens = self.token_norm(tokens)
        return CoAttentionContext(
            [layer.guide.keys_values_of(tokens) for layer in self.layers],
            tokens,
            self.attend.keys(tokens),
            memory.mask,
        )

    def forward(self, context: CoAttentionContext, words: Tensor) -> tuple[Tensor, Tensor]:
        x, real = self.words(words)
        x = x * x.shape[-1] ** 0.5 + self.positions(0, x.shape[1], x.device)  # (B * R, T, W)
        among = additive_mask(real, x.dtype)[:, None, None]  # (B * R, 1, 1, T)
        bias = additive_mask(context.mask, x.dtype)[:, None, None]
        for layer, memory in zip(self.layers, context.layers, strict=True):
            x = layer(x, among, memory, bias, images=len(words))
        x = self.norm(x)
        weights = masked_softmax(self.weigh(x).squeeze(-1), real)  # (B * R, T)
        question = (weights[:, None] @ x).view(*words.shape[:2], -1)  # (B, R, W)
        seen, attention = self.attend(question, context.keys, context.tokens, context.mask)
        return self.answer(self.dropout(self.joint(question + seen))), attention


class Layer(nn.Module):
    """Attention among one's own, attention to tokens where `guided`, two layers: each normalised first, and added."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, *, guided: bool):
        super().__init__()
        self.attend, self.attend_norm = SelfAttention(width, heads, dropout), nn.LayerNorm(width)
        self.guide = CrossAttention(width, heads, dropout) if guided else None
        self.guide_norm = nn.LayerNorm(width) if guided else None
        self.forward_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(Linear(width, hidden), nn.GELU(), Dropout(dropout), Linear(hidden, width))
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        among: Tensor,
        memory: KeysValues | None = None,
        bias: Tensor | None = None,
        images: int = 0,
    ) -> Tensor:
        """x (B * R, T, W) with `memory` of its B `images`, or (B, N, W) without -> as x."""
        x = x + self.dropout(self.attend(self.attend_norm(x), bias=among))
        if self.guide is not None and self.guide_norm is not None and memory is not None:
            rows = self.guide_norm(x).view(images, -1, *x.shape[1:])  # (B, R, T, W)
            x = x + self.dropout(self.guide(rows, memory, bias)[0].view_as(x))
        return x + self.dropout(self.feed_forward(self.forward_norm(x)))
