"""A whole task in one file of its own package: how many things a picture shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.memory import VisualMemory
from captioning.metrics.bootstrap import mean_of
from captioning.metrics.scores import Scores
from captioning.tasks.base import Build, Parts, Task


class Counting(Task):
    """The number of boxes of a picture, up to the largest of training, by a linear head on its pooled vector."""

    needs = ("boxes",)
    monitor = ("val/accuracy", "max")
    columns = ("accuracy", "error")
    things = "counts"
    metrics = ("accuracy", "error")
    files = ("largest.txt",)

    def __init__(self, *, dropout: float = 0.0):
        super().__init__()
        self.dropout, self.largest = dropout, 0
        self.head: nn.Module | None = None

    def fit(self, examples: Sequence[Example]) -> None:
        self.largest = max(len(example.boxes) for example in examples)

    def build(self, encoder: Encoder, instantiate: Build) -> None:
        self.head = nn.Sequential(nn.Dropout(self.dropout), nn.Linear(encoder.width, self.largest + 1))

    def targets(self, examples: Sequence[Example], epoch: int) -> Tensor:
        return torch.tensor([len(example.boxes) for example in examples])

    def loss(self, memory: VisualMemory, targets: Tensor, ids: Sequence[int | str]) -> tuple[Tensor, Parts]:
        loss = F.cross_entropy(self.head(memory.pooled), targets.clamp(max=self.largest))
        return loss, {"loss": loss}

    def predict(self, memory: VisualMemory, targets: Any) -> list[int]:
        return self.head(memory.pooled).argmax(-1).tolist()

    def score(
        self, predictions: Mapping[int | str, int], examples: Sequence[Example], *, metrics: Sequence[str] = ()
    ) -> Scores:
        off = np.array([abs(predictions[example.id] - len(example.boxes)) for example in examples], float)
        found = {"accuracy": (off == 0).astype(float), "error": off}
        asked = {name: found[name] for name in metrics or self.metrics}
        ids = tuple(example.id for example in examples)
        corpus = {name: float(values.mean()) for name, values in asked.items()}
        return Scores(ids, corpus, asked, {name: mean_of(values) for name, values in asked.items()})

    def texts(self) -> dict[str, str]:
        return {"largest.txt": f"{self.largest}\n"}

    def read_texts(self, texts: Mapping[str, str], where: str) -> None:
        try:
            self.largest = int(texts["largest.txt"])
        except (KeyError, ValueError):
            raise UserError(f"{where}/largest.txt does not hold a number: copy the folder again") from None

    def config(self) -> dict[str, Any]:
        return {**super().config(), "dropout": self.dropout}
