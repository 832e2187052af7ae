"""The boxes that people drew, in place of a detector's: an upper bound for what better regions could bring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from captioning.encoders.detectors.base import Detector, Proposals, coco_names
from captioning.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

    from captioning.example import Example

OTHER = "object"  # the class of a label that is not among the class names


class TrueBoxes(Detector):
    """Boxes and labels of the example, all with a score of 1, the largest first. Only for sources that have them.

    `class_names` are by default COCO's 80; any other label counts as "object".
    """

    size = 1
    reads_annotations = True

    def __init__(self, *, class_names: Sequence[str] | None = None):
        super().__init__()
        self.class_names = (*(coco_names() if class_names is None else class_names), OTHER)
        self.numbers = {name: number for number, name in enumerate(self.class_names)}

    def read(self, image: Image, example: Example | None) -> tuple[Tensor, ...]:
        """-> boxes (P, 4) and classes (P,). Raises UserError for a picture that comes without an example."""
        if example is None:
            raise UserError(
                "this model looks at boxes that people drew (TrueBoxes), and a photo alone has none: "
                "evaluate it on a data set with boxes, or train one with a detector, encoder=regions"
            )
        boxes = torch.tensor(example.boxes, dtype=torch.float32).reshape(-1, 4)
        numbers = torch.tensor([self.numbers.get(label, len(self.numbers) - 1) for label in example.labels]).long()
        order = (boxes[:, 2:] - boxes[:, :2]).prod(1).argsort(descending=True, stable=True)
        return boxes[order], numbers[order]

    def collate(self, readings: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """-> boxes (B, P, 4), padded with boxes without an area, and classes (B, P)."""
        boxes, classes = zip(*readings, strict=True)
        pad = torch.nn.utils.rnn.pad_sequence
        return pad(boxes, batch_first=True), pad(classes, batch_first=True)

    def forward(self, boxes: Tensor, classes: Tensor) -> Proposals:
        return Proposals(boxes, (boxes[..., 2:] > boxes[..., :2]).all(-1).to(boxes.dtype), classes)
