"""A finished model that classifies: pictures in, how probable each of its labels is out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from captioning.errors import UserError
from captioning.metrics.classification import ranked
from captioning.tasks.predictor import Predictor


class Classifier(Predictor):
    """Encoder and classification on one device.

    >>> captioning.load("runs/caltech101/model").classify("photo.jpg")
    {"sunflower": 0.97, ...}
    """

    @property
    def labels(self) -> tuple[str, ...]:
        """What it tells apart."""
        return self.task.labels

    def classify(self, images: Any, labels: Sequence[str] | None = None, *, batch_size: int = 16) -> Any:
        """How probable each label is for a picture, the most probable first, or such a mapping for each of a list.

        `labels` chooses some of the model's: the probabilities are those among them. Raises UserError for one that it
        does not know, or naming the first picture that cannot be read.
        """
        asked = self.chosen(labels)
        found = self.predict(images, batch_size=batch_size)
        single = bool(found) and not isinstance(found[0], list)
        places = [self.labels.index(label) for label in asked]
        made = []
        for row in [found] if single else found:
            likely = np.array(row, np.float64)[places]
            made.append(ranked(asked, likely / max(float(likely.sum()), 1e-300)))
        return made[0] if single else made

    def chosen(self, labels: Sequence[str] | None) -> list[str]:
        """Those of `labels`, each once, or all there are. Raises UserError for one that the model does not know."""
        asked = list(dict.fromkeys(self.labels if labels is None else labels))
        if unknown := [label for label in asked if label not in self.labels]:
            shown = ", ".join(self.labels[:10]) + (", ..." if len(self.labels) > 10 else "")
            raise UserError(f"this model does not know the label {unknown[0]!r}; it knows {shown}")
        if not asked:
            raise UserError("there are no labels to choose from")
        return asked
