"""Classification: a picture in, which label of a list the thing has that it shows most of all out."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from captioning.data.graphs import vocabulary
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.heads.labels import LabelHead
from captioning.memory import VisualMemory
from captioning.metrics.bootstrap import mean_of
from captioning.metrics.classification import ranked, table_of_ranks
from captioning.metrics.scores import Scores
from captioning.tasks.base import Build, Parts
from captioning.tasks.recognition.labelled_task import LabelledTask

SHOWN = 24  # photos of the page


class Classification(LabelledTask):
    """One label a picture, out of a closed list; judged by how often the right one comes first.

    A picture's label is its own, as in `data=labelled_folders`; of a picture with boxes that of the largest, the thing
    that it shows most of all.

    Args:
        head: configuration of a `LabelHead`, without the sizes that follow from encoder and labels.
        labels: the list; None takes those of the training pictures that at least `min_count` of them have.
        smoothing: of the cross-entropy (Szegedy et al. 2016).
    """

    needs = ("labels",)
    monitor = ("val/top-1", "max")
    columns = ("top-1", "top-5")
    things = "photos"
    usage = "classify PHOTO"
    metrics = ("classification",)

    def __init__(
        self,
        *,
        head: Mapping[str, Any],
        labels: Sequence[str] | None = None,
        min_count: int = 1,
        smoothing: float = 0.1,
    ):
        super().__init__(head, min_count)
        if not 0 <= smoothing < 1:
            raise UserError(f"task.smoothing={smoothing}: it is from 0 to below 1")
        if labels is not None and (len(set(labels)) < len(labels) or len(labels) < 2):
            raise UserError("task.labels: two names or more, each once")
        self.asked, self.smoothing = labels, smoothing

    def fit(self, examples: Sequence[Example]) -> None:
        there = [salient_label(example) for example in examples]
        self.labels = tuple(self.asked) if self.asked else tuple(sorted(vocabulary(there, min_count=self.min_count)))
        if len(self.labels) < 2 or not set(there) & set(self.labels):
            raise UserError("the training pictures have fewer than two labels: there is nothing to tell apart")

    def build(self, encoder: Encoder, instantiate: Build) -> None:
        sizes = {"visual_width": encoder.width, "labels": len(self.labels)}
        self.head: LabelHead = instantiate(self.parts["head"], kind=LabelHead, **sizes)

    def targets(self, examples: Sequence[Example], epoch: int) -> Tensor:
        """-> (B,) the number of each label, -100 for one that is not in the list and of which nothing is learned."""
        numbers = {label: i for i, label in enumerate(self.labels)}
        return torch.tensor([numbers.get(salient_label(example), -100) for example in examples])

    def loss(self, memory: VisualMemory, targets: Tensor, ids: Sequence[int | str]) -> tuple[Tensor, Parts]:
        logits, known = self.head(memory).float(), targets >= 0
        each = F.cross_entropy(
            logits, targets, ignore_index=-100, label_smoothing=self.smoothing if self.training else 0, reduction="sum"
        )
        loss = each / known.sum().clamp(min=1)
        return loss, {"loss": loss}

    @torch.no_grad()
    def predict(self, memory: VisualMemory, targets: Any) -> list[list[float]]:
        """Of each image the probabilities of the labels, in their order."""
        return self.head(memory).float().softmax(-1).tolist()

    def score(
        self, predictions: Mapping[int | str, Any], examples: Sequence[Example], *, metrics: Sequence[str] = ()
    ) -> Scores:
        """How often the right label is the first, or among the first five; the mean over classes; chance.

        A label that is not in the list is never right.
        """
        unknown = [name for name in metrics if name not in self.metrics]
        if unknown:
            raise UserError(f"there is no metric {unknown[0]!r} of labels. Choose from {', '.join(self.metrics)}.")
        numbers = {label: i for i, label in enumerate(self.labels)}
        there = [salient_label(example) for example in examples]
        names = sorted(set(there))
        ranks = np.array(
            [rank_of(predictions[e.id], numbers.get(label)) for e, label in zip(examples, there, strict=True)]
        )
        table = table_of_ranks(ranks, np.array([names.index(label) for label in there]))
        right = (ranks == 1).astype(np.float64)
        corpus = {**table, "chance": 1 / len(self.labels)}
        return Scores(tuple(e.id for e in examples), corpus, {"top-1": right}, {"top-1": mean_of(right)})

    def usual_metrics(self, source: Any) -> tuple[str, ...]:
        return self.metrics

    def tally(self, examples: Sequence[Example]) -> str:
        return f"{len(self.labels):,} labels"

    def results(self, predictions: Mapping[int | str, Any]) -> list[dict[str, Any]]:
        """A line a picture: its five likeliest labels."""
        best = {key: list(ranked(self.labels, np.array(value)).items())[:5] for key, value in predictions.items()}
        return [{"image_id": key, "labels": {k: round(v, 6) for k, v in found}} for key, found in best.items()]

    def report(
        self,
        path: Path,
        predictor: Any,
        examples: Sequence[Example],
        source: Any,
        predictions: Mapping[int | str, Any],
        scores: Scores,
        *,
        title: str,
    ) -> Path:
        """Photos drawn by lot, with their likeliest labels as bars and where the right one stands."""
        from captioning.reports.photo_page import PhotoPage

        page = PhotoPage(title)
        known = [example for example in examples if salient_label(example) in self.labels]
        for example in random.Random(0).sample(known, min(SHOWN, len(known))):
            found = ranked(self.labels, np.array(predictions[example.id]))
            page.add_classified(str(example.id), source.image(example), found, salient_label(example))
        return page.write(path)

    def predictor(self, bundle: Any, device: str | torch.device | None = None) -> Any:
        """A `Classifier`."""
        from captioning.tasks.recognition.classifier import Classifier

        return Classifier(bundle, device=device)


def salient_label(example: Example) -> str:
    """What a picture shows most of all: the label of its largest box, of equals the first; without boxes its own."""
    if not example.boxes:
        return example.labels[0]
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in example.boxes]
    return example.labels[areas.index(max(areas))]


def rank_of(probabilities: Sequence[float], right: int | None) -> int:
    """Where the right label stands, from 1 on, a tie counting against it; behind all where it is not in the list."""
    if right is None:
        return len(probabilities) + 1
    return sum(one >= probabilities[right] for one in probabilities)
