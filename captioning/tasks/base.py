"""The seam between what was seen and what is made of it: sentences, answers, matches, boxes are each a `Task`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from captioning.data.source import Source
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.annotations import read_text
from captioning.memory import VisualMemory
from captioning.metrics.scores import Scores

Parts = dict[str, Tensor]
Build = Callable[..., Any]  # makes what a configuration describes by `_target_` and keywords


@dataclass(frozen=True)
class Rival:
    """What a further model says of the same split."""

    name: str
    predictions: Mapping[int | str, Any]
    scores: Scores


class Task(nn.Module):
    """What is learned of a `VisualMemory`, how it is judged, and what a finished model needs besides its encoder.

    A task knows no files, no trainer, no command line. Its constructor takes keywords with plain defaults; what it is
    made of (decoders, heads, text encoders) it takes as configurations, and makes them in `build`, when the encoder is
    known and what had to be learned of the training examples is (`fit`), or was read from a finished model
    (`read_files`).

    A subclass sets `monitor` and implements `build`, `loss`, `predict` and `score`; the others have defaults.

    Attributes:
        needs: attributes of an `Example` without which it is left out.
        monitor: the figure by which the best epoch is chosen, and whether it is to be high or low. "val/loss" and
            "val/" + every name of `score`'s corpus values are known.
        columns: names of corpus values that a table of runs shows.
        things: what a table of scores calls the predictions.
        usage: the verb of the command line that a finished model is for, and what it is given: "caption PHOTO".
        metrics: what `score` computes where nobody says.
        files: names of the task's own files in a model's folder.
        compares: whether `report` takes a `Rival` as `against`, and the model's own `name`.
        fresh: how names of weights begin that a model which training starts from need not have.
    """

    needs: tuple[str, ...] = ()
    monitor: tuple[str, Literal["max", "min"]] = ("val/loss", "min")
    columns: tuple[str, ...] = ()
    things: str = "predictions"
    usage: str = ""
    metrics: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    compares: bool = False
    fresh: tuple[str, ...] = ()

    def fit(self, examples: Sequence[Example]) -> None:
        """What has to be known of the training examples before there can be layers: words, answers, classes."""

    def build(self, encoder: Encoder, instantiate: Build) -> None:
        """Makes the layers, for tokens of `encoder.width`.

        `instantiate(config, **keywords)` makes a part: Hydra's in training, and one that builds nothing of strangers
        where a finished model is loaded.
        """
        raise NotImplementedError

    def read_from(self, source: Source) -> None:
        """Before targets are asked for: where the examples come from, for a task that reads more of them than what
        the encoder looks at."""

    def begin(self, examples: Sequence[Example]) -> None:
        """Once before training, when the layers are there: the training examples, to weigh or to reward by."""

    def undecided(self, examples: Sequence[Example]) -> str:
        """Why the score that `monitor` names cannot tell one epoch from another on these examples; "" where it can.

        The best epoch is then chosen by the loss of validation.
        """
        return ""

    def set_epoch(self, epoch: int) -> None:
        """Before every training epoch, counted from 0, when the task is in training mode."""

    def end(self) -> None:
        """Once after training: what only training needed goes, and the task is what a bundle will say it is."""

    def targets(self, examples: Sequence[Example], epoch: int) -> Any:
        """What a batch of examples asks for: None, a tensor, or anything with a method `to` as tensors have.

        Runs in the loader's workers. A choice among what an example has may change with the epoch, and with nothing
        else; validation always asks for epoch 0.
        """
        return None

    def loss(self, memory: VisualMemory, targets: Any, ids: Sequence[int | str]) -> tuple[Tensor, Parts]:
        """What a training step minimises, and what to log of it, its "loss" among them."""
        raise NotImplementedError

    def validation_loss(self, memory: VisualMemory, targets: Any, ids: Sequence[int | str]) -> tuple[float, int] | None:
        """The mean loss of a validation batch and of how many things it is the mean; None where there is nothing."""
        return float(self.loss(memory, targets, ids)[0]), len(ids)

    def predict(self, memory: VisualMemory, targets: Any) -> list[Any]:
        """What the model says of each image: plain data, as JSON has it. `targets` may hold questions, never answers
        that are looked at."""
        raise NotImplementedError

    def score(
        self, predictions: Mapping[int | str, Any], examples: Sequence[Example], *, metrics: Sequence[str] = ()
    ) -> Scores:
        """How good predictions by id are. `metrics`: names, none for those that training looks at."""
        raise NotImplementedError

    def check(self, encoder: Encoder) -> None:
        """Raises whatever comes where a finished model's parts, weights filled in, do not suit the encoder."""

    def rehearse(self, encoder: Encoder) -> None:
        """Once before training, when the layers are there: tries what validation and a finished model will be asked
        for, on a blank memory. Raises UserError for what would fail then. Leaves weights and random numbers alone."""
        self.check(encoder)

    def grow(self, examples: Sequence[Example]) -> int:
        """Takes in what new training examples have and the words that were read have not.

        -> how many words there were before. Raises UserError for a task that cannot.
        """
        raise UserError(f"grow=true: {type(self).__name__} has no words that could grow")

    def usual_metrics(self, source: Any) -> tuple[str, ...]:
        """What an evaluation on a data set computes where nobody says."""
        return self.metrics

    def tally(self, examples: Sequence[Example]) -> str:
        """What the examples of an evaluation hold, for the head of its table: "5,000 references"."""
        return ""

    def results(self, predictions: Mapping[int | str, Any]) -> list[dict[str, Any]]:
        """Predictions by id as the benchmark's result files have them."""
        return [{"image_id": key, "prediction": value} for key, value in predictions.items()]

    def result_file(self, predictions: Mapping[int | str, Any], examples: Sequence[Example]) -> list[dict[str, Any]]:
        """What an evaluation writes: `results`, unless a benchmark's files name what only the examples know."""
        return self.results(predictions)

    def texts(self) -> dict[str, str]:
        """What a finished model needs besides weights and configuration: the content of each of `files`."""
        return {}

    def read_texts(self, texts: Mapping[str, str], where: str) -> None:
        """Takes in what `texts` gave. `where` names their folder. Raises UserError for what does not fit."""

    def save(self, folder: Path) -> None:
        """Writes the task's own files into a folder."""
        for name, text in self.texts().items():
            (folder / name).write_text(text, encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Reads the task's own files. Raises UserError naming the one that is missing or damaged."""
        self.read_texts({name: read_text(folder / name) for name in self.files}, str(folder))

    def config(self) -> dict[str, Any]:
        """The task as plain data, by which a finished model makes it again: `_target_` and keywords."""
        kind = type(self)
        return {"_target_": f"{kind.__module__}.{kind.__qualname__}"}

    def summary(self) -> str:
        """A few words on what was fitted and built, for the line with which a run begins."""
        return type(self).__name__

    def generate_with(self, generation: Mapping[str, Any], instantiate: Build) -> None:
        """Another search for a task that writes words. Raises UserError for one that does not."""
        raise UserError(f"generation= is for models that write words, which {type(self).__name__} does not")

    def calibrated(self, predictor: Any, source: Any, split: str, **options: Any) -> tuple[Any, Any]:
        """The model of a `Predictor` with a confidence fitted to a split that it was not trained on, and how right it
        is there: (bins, 3) of mean confidence, share right, number. `options` are those of `predict_split`.

        Raises UserError for a task without a confidence.
        """
        raise UserError(f"calibrate=: {type(self).__name__} has no confidence that could be fitted")

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
        """Writes an HTML page about predictions. Raises UserError where the task has none."""
        raise UserError(f"report=true: there is no page about {self.things} yet")

    def predictor(self, bundle: Any, device: str | torch.device | None = None) -> Any:
        """What `captioning.load` gives for a model of this task."""
        from captioning.tasks.predictor import Predictor

        return Predictor(bundle, device=device)
