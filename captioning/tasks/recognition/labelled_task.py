"""What tasks share whose model is one head over a closed list of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.tasks.base import Task
from captioning.tasks.recognition.things import names_from_json, names_to_json

LABELS = "labels.json"


class LabelledTask(Task):
    """A head, and the labels that it was fitted to: a file of the model's.

    `head` is the configuration of the head, without the sizes that follow from encoder and labels; `min_count` is how
    often a label of training has to be there. A subclass fits `labels` and builds `head`. Raises UserError for a count
    below 1.
    """

    files = (LABELS,)
    head: nn.Module

    def __init__(self, head: Mapping[str, Any], min_count: int):
        super().__init__()
        if min_count < 1:
            raise UserError(f"task.min_count={min_count}: it is 1 or more")
        self.parts, self.min_count = {"head": dict(head)}, min_count
        self.labels: tuple[str, ...] = ()

    def check(self, encoder: Encoder) -> None:
        training = self.training
        self.eval()
        with torch.inference_mode():
            self.predict(VisualMemory.blank(encoder.width), None)
        self.train(training)

    def texts(self) -> dict[str, str]:
        return {LABELS: names_to_json(labels=self.labels)}

    def read_texts(self, texts: Mapping[str, str], where: str) -> None:
        if LABELS not in texts:
            raise UserError(f"{where}/{LABELS} is missing: the model folder is incomplete")
        (self.labels,) = names_from_json(texts[LABELS], f"{where}/{LABELS}", "labels")

    def config(self) -> dict[str, Any]:
        return {**super().config(), **self.parts}

    def summary(self) -> str:
        return f"{type(self.head).__name__} of {len(self.labels):,} labels"
