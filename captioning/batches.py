"""Batches for training and validation: pictures or stored memories, with the captions of each as rows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from captioning.data.source import Source
from captioning.encoders.base import Encoder
from captioning.encoders.reading import read_example
from captioning.example import Example
from captioning.features.store import FeatureStore
from captioning.memory import VisualMemory
from captioning.text.vocabulary import BOS, PAD, Vocabulary


@dataclass(frozen=True)
class Batch:
    """B pictures with R captions each."""

    ids: list[int | str]  # B
    inputs: VisualMemory | Any  # a memory from a store, or what the encoder's `collate` makes
    words: Tensor | None  # (B, R, T+1) from BOS to EOS, then PAD; None where nobody asks for captions

    def to(self, *args, **kwargs) -> Batch:
        """Tensors moved as `Tensor.to` moves them."""
        words = None if self.words is None else self.words.to(*args, **kwargs)
        return replace(self, inputs=self.inputs.to(*args, **kwargs), words=words)


class EpochSampler(Sampler):
    """(epoch, index) pairs in an order that depends on seed and epoch alone, dealt out to several processes.

    In training the list is filled up so that every process gets as many; otherwise nobody sees one twice.
    """

    def __init__(self, length: int, *, shuffle: bool, seed: int = 0, rank: int = 0, processes: int = 1):
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self.rank, self.processes, self.epoch = rank, processes, 0
        self.done = (0, 0)  # an epoch, and how many of its pictures are left out: it was interrupted behind them

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        even = -(-self.length // self.processes)
        return even if self.shuffle else len(range(self.rank, self.length, self.processes))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = list(range(self.length))
        if self.shuffle:
            random.Random(f"{self.seed} {self.epoch}").shuffle(order)
            order = (order * self.processes)[: len(self) * self.processes]  # begins again where it is too short
        first = self.done[1] if self.done[0] == self.epoch else 0
        return iter([(self.epoch, i) for i in order[self.rank :: self.processes][first:]])


class Examples(torch.utils.data.Dataset):
    """Examples by (epoch, index); `collate` makes a batch of them, in a worker process where there are any.

    With `vary` an encoder that looks at random frames of a clip looks at others in each epoch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        source: Source,
        encoder: Encoder,
        store: FeatureStore | None,
        vocabulary: Vocabulary | None,
        *,
        captions_per_image: int = 5,
        seed: int = 0,
        vary: bool = False,
    ):
        self.examples, self.source, self.store, self.vocabulary = examples, source, store, vocabulary
        self.encoder, self.vary = encoder, vary
        self.captions_per_image, self.seed = captions_per_image, seed
        self.known: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, at: tuple[int, int]) -> tuple[int, Example]:
        epoch, i = at
        return epoch, self.examples[i]

    def collate(self, items: list[tuple[int, Example]]) -> Batch:
        examples = [example for _, example in items]
        ids = [example.id for example in examples]
        if self.store is not None:
            inputs: VisualMemory | Any = self.store.read(ids)
        else:
            inputs = self.encoder.collate([self.read(epoch, example) for epoch, example in items])
        if self.vocabulary is None:
            return Batch(ids, inputs, None)
        return Batch(ids, inputs, pad_words([self.captions(epoch, example) for epoch, example in items]))

    def read(self, epoch: int, example: Example) -> Any:
        """What the encoder reads of an example in this epoch."""
        seed = f"{self.seed} {epoch} {example.id}" if self.vary else None
        return read_example(self.encoder, self.source, example, seed=seed)

    def captions(self, epoch: int, example: Example) -> list[list[int]]:
        """At most `captions_per_image` captions as ids; which ones, where there are more, changes with the epoch."""
        chosen = list(example.captions)
        if len(chosen) > self.captions_per_image:
            chosen = random.Random(f"{self.seed} {epoch} {example.id}").sample(chosen, self.captions_per_image)
        return [self.ids(caption) for caption in chosen]

    def ids(self, caption: str) -> list[int]:
        """The caption's ids, which it has from the first time on: words are counted once, not once an epoch."""
        if caption not in self.known:
            self.known[caption] = self.vocabulary.encode(caption)
        return self.known[caption]


def pad_words(captions: list[list[list[int]]]) -> Tensor:
    """Ids of B images' captions -> (B, R, T+1) with BOS in front and PAD behind; an image with fewer rows is padded."""
    rows = max(map(len, captions))
    lengths = torch.tensor([[*map(len, image), *[0] * (rows - len(image))] for image in captions])  # (B, R)
    words = torch.full((*lengths.shape, int(lengths.max()) + 1), PAD)
    words[:, :, 0] = BOS
    inside = torch.arange(words.shape[2] - 1) < lengths[..., None]
    words[:, :, 1:][inside] = torch.tensor(
        [i for image in captions for caption in image for i in caption], dtype=torch.long
    )
    return words


class CaptionData(pl.LightningDataModule):
    """Loaders over the training and validation examples of a source."""

    def __init__(
        self,
        train: Examples,
        val: Examples,
        *,
        batch_size: int = 32,
        num_workers: int = 0,
        seed: int = 0,
    ):
        super().__init__()
        self.train, self.val = train, val
        self.batch_size, self.num_workers, self.seed = batch_size, num_workers, seed

    def train_dataloader(self) -> DataLoader:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.val, shuffle=False)

    def _loader(self, examples: Examples, *, shuffle: bool) -> DataLoader:
        trainer = self.trainer
        processes, rank = (trainer.world_size, trainer.global_rank) if trainer else (1, 0)
        sampler = EpochSampler(len(examples), shuffle=shuffle, seed=self.seed, rank=rank, processes=processes)
        return loader(examples, sampler, self.batch_size, self.num_workers)


class LateLoader(DataLoader):
    """Asks the sampler for its order when the first batch is wanted, for a resumed run learns its epoch no earlier."""

    def __iter__(self) -> Iterator[Batch]:
        yield from super().__iter__()


def loader(examples: Examples, sampler: EpochSampler, batch_size: int, num_workers: int) -> DataLoader:
    """Batches of `examples` in the sampler's order."""
    return LateLoader(
        examples, batch_size=batch_size, sampler=sampler, num_workers=num_workers, collate_fn=examples.collate
    )
