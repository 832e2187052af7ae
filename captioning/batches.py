"""Batches for training, validation and evaluation: pictures or stored memories, with what a task asks of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Sampler

from captioning.data.source import Source
from captioning.encoders.base import Encoder
from captioning.encoders.reading import read_example
from captioning.example import Example
from captioning.features.store import FeatureStore
from captioning.memory import VisualMemory


@dataclass(frozen=True)
class Batch:
    """B pictures or clips, and what a task asks of them."""

    ids: list[int | str]  # B
    inputs: VisualMemory | Any  # a memory from a store, or what the encoder's `collate` makes
    targets: Any  # what `Task.targets` makes

    def to(self, *args, **kwargs) -> Batch:
        """Tensors moved as `Tensor.to` moves them."""
        targets = None if self.targets is None else self.targets.to(*args, **kwargs)
        return replace(self, inputs=self.inputs.to(*args, **kwargs), targets=targets)


class Imagines(Protocol):
    """What makes memories of examples without a file, and says how photos beside them are seen in an epoch."""

    def __call__(self, examples: Sequence[Example], epoch: int) -> VisualMemory: ...

    def of_photos(self, memory: VisualMemory, ids: Sequence[int | str], epoch: int) -> VisualMemory: ...


class EpochSampler(Sampler):
    """(epoch, index) pairs in an order that depends on seed and epoch alone, dealt out to several processes.

    In training the list is filled up so that every process gets as many; otherwise nobody sees one twice. There the
    examples may be of several `kinds`, (length,): then those of a kind are filled up to whole batches of `batch_size`,
    and at each step every process has a batch of the same kind.

    Examples that lie in `blocks`, (length,), which are read best as a whole, are shuffled by block and buffer: blocks
    in random order are cut into a run for each process, and each run is shuffled `buffer` examples at a time.
    """

    def __init__(
        self,
        length: int,
        *,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        processes: int = 1,
        kinds: Sequence[int] | None = None,
        batch_size: int = 1,
        blocks: Sequence[Hashable] | None = None,
        buffer: int = 1000,
    ):
        self.length, self.shuffle, self.seed = length, shuffle, seed
        several = sorted(set(kinds)) if shuffle and kinds is not None else []
        self.kinds = [[i for i in range(length) if kinds[i] == kind] for kind in several] if len(several) > 1 else None
        self.step = batch_size * processes
        self.blocks: dict[Hashable, list[int]] = {}
        for i, block in enumerate(blocks or ()):
            self.blocks.setdefault(block, []).append(i)
        self.buffer = buffer
        self.rank, self.processes, self.epoch = rank, processes, 0
        self.done = (0, 0)  # an epoch, and how many of its pictures are left out: it was interrupted behind them

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        if self.kinds is not None:
            return sum(-(-len(kind) // self.step) for kind in self.kinds) * self.step // self.processes
        even = -(-self.length // self.processes)
        return even if self.shuffle else len(range(self.rank, self.length, self.processes))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = list(range(self.length))
        if self.kinds is not None:
            order = self._by_kinds(random.Random(f"{self.seed} {self.epoch}"))
        elif self.shuffle and self.blocks:
            order = self._by_blocks(random.Random(f"{self.seed} {self.epoch}"))
        elif self.shuffle:
            random.Random(f"{self.seed} {self.epoch}").shuffle(order)
            order = (order * self.processes)[: len(self) * self.processes]  # begins again where it is too short
        first = self.done[1] if self.done[0] == self.epoch else 0
        return iter([(self.epoch, i) for i in order[self.rank :: self.processes][first:]])

    def _by_blocks(self, dice: random.Random) -> list[int]:
        """A run of whole and cut blocks for each process, shuffled within a buffer, dealt out as the others are."""
        blocks = list(self.blocks.values())
        dice.shuffle(blocks)
        order = [i for block in blocks for i in block]
        order = (order * self.processes)[: len(self) * self.processes]  # begins again where it is too short
        first = dice.randrange(self.buffer)  # or the same neighbours of a large block would always share a buffer
        runs = [order[start : start + len(self)] for start in range(0, len(order), len(self))]
        for run in runs:
            for start in range(-first, len(run), self.buffer):
                some = run[max(start, 0) : start + self.buffer]
                dice.shuffle(some)
                run[max(start, 0) : start + self.buffer] = some
        return [i for step in zip(*runs, strict=True) for i in step]

    def _by_kinds(self, dice: random.Random) -> list[int]:
        """Steps of one kind each, in random order."""
        steps = []
        for kind in self.kinds:
            order = dice.sample(kind, len(kind))
            order = (order * self.step)[: -(-len(kind) // self.step) * self.step]  # begins again where it is too short
            steps += [order[start : start + self.step] for start in range(0, len(order), self.step)]
        dice.shuffle(steps)
        return [i for step in steps for i in step]


class Examples(torch.utils.data.Dataset):
    """Examples by (epoch, index); `collate` makes a batch of them, in a worker process where there are any.

    `targets` says what is asked of examples in an epoch (`Task.targets`). Batches of examples without a file get the
    memories that `imagine` makes of them in an epoch, and says how the others are seen. With `vary` it may ask for
    something else in each epoch, and an encoder that looks at random frames of a clip looks at others; without, every
    epoch is epoch 0.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        source: Source,
        encoder: Encoder,
        store: FeatureStore | None,
        targets: Callable[[Sequence[Example], int], Any],
        *,
        imagine: Imagines | None = None,
        seed: int = 0,
        vary: bool = False,
    ):
        self.imagine = imagine
        self.examples, self.source, self.encoder, self.store = examples, source, encoder, store
        self.targets, self.seed, self.vary = targets, seed, vary

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, at: tuple[int, int]) -> tuple[int, Example]:
        epoch, i = at
        return epoch, self.examples[i]

    def collate(self, items: list[tuple[int, Example]]) -> Batch:
        examples, epoch = [example for _, example in items], items[0][0]
        ids = [example.id for example in examples]
        if self.imagine is not None and not any(example.file for example in examples):
            inputs: VisualMemory | Any = self.imagine(examples, epoch)
        elif self.store is not None:
            inputs = self.store.read(ids)
            if self.imagine is not None:
                inputs = self.imagine.of_photos(inputs, ids, epoch)
        else:
            inputs = self.encoder.collate([self.read(epoch, example) for example in examples])
        return Batch(ids, inputs, self.targets(examples, epoch if self.vary else 0))

    def read(self, epoch: int, example: Example) -> Any:
        """What the encoder reads of an example in this epoch."""
        seed = f"{self.seed} {epoch} {example.id}" if self.vary else None
        return read_example(self.encoder, self.source, example, seed=seed)


class TaskData(pl.LightningDataModule):
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
        sampler = EpochSampler(
            len(examples),
            shuffle=shuffle,
            seed=self.seed,
            rank=rank,
            processes=processes,
            kinds=None if examples.imagine is None else [bool(example.file) for example in examples.examples],
            batch_size=self.batch_size,
            **self._as_it_lies(examples) if shuffle and examples.store is None else {},
        )
        return loader(examples, sampler, self.batch_size, self.num_workers)

    @staticmethod
    def _as_it_lies(examples: Examples) -> dict[str, Any]:
        source = examples.source
        return {"blocks": source.blocks(examples.examples), "buffer": source.buffer}


class LateLoader(DataLoader):
    """Asks the sampler for its order when the first batch is wanted, for a resumed run learns its epoch no earlier."""

    def __iter__(self) -> Iterator[Batch]:
        yield from super().__iter__()


def loader(examples: Examples, sampler: EpochSampler, batch_size: int, num_workers: int) -> DataLoader:
    """Batches of `examples` in the sampler's order."""
    return LateLoader(
        examples, batch_size=batch_size, sampler=sampler, num_workers=num_workers, collate_fn=examples.collate
    )
