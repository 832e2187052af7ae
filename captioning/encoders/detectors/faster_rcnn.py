"""Faster R-CNN (Ren et al. 2015, arXiv:1506.01497) on a ResNet-50 pyramid, as torchvision has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from captioning.encoders.detectors.base import Detector, Proposals, coco_names_by_id, letterbox, of_the_photo
from captioning.encoders.weights import read_weights
from captioning.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

    from captioning.example import Example

MODELS = ("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2")


class FasterRCNN(Detector):
    """One of torchvision's two models, with the 1,024 values of its box head as features.

    `weights`: "pretrained" (trained on COCO, from the hub), a .safetensors or .pth file, or "none" for random ones.
    `class_names` are those of COCO's ids from 1 to 90, or a list that fits the file. Photos are fitted into a canvas
    of `size` x `size`, so that what is seen of one does not depend on the shape of the others in its batch.
    """

    width = 1024

    def __init__(
        self,
        *,
        model: str = MODELS[1],
        weights: str = "pretrained",
        class_names: Sequence[str] | None = None,
        size: int = 1024,
    ):
        super().__init__()
        from torchvision.models import detection

        if model not in MODELS:
            raise UserError(f"encoder.detector.model={model}: it is {' or '.join(MODELS)}")
        if type(size) is not int or not 64 <= size <= 4096 or size % 32:
            raise UserError(f"encoder.detector.size={size}: it is a number of pixels from 64 to 4096, divisible by 32")
        state = weights_of(model, weights)
        self.size = size
        self.class_names = tuple(coco_names_by_id() if class_names is None else class_names)
        build = getattr(detection, model)
        self.model = build(weights=None, weights_backbone=None, num_classes=1 + len(self.class_names))
        if model == MODELS[0]:  # trained with frozen statistics, to which nothing was added
            for layer in self.model.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.eps = 0.0
        for name in ("image_mean", "image_std"):
            value = torch.tensor(getattr(self.model.transform, name)).view(3, 1, 1) * 255
            self.register_buffer(name, value, persistent=False)
        self.fill = tuple(int(value) for value in self.image_mean.flatten().round())
        if state is not None:
            self._fill(state, f"encoder.detector.weights={weights}")
        self.eval()

    def read(self, image: Image, example: Example | None) -> tuple[Tensor, ...]:
        """-> uint8 (3, S, S), and the share (2,) of it that the photo covers."""
        return letterbox(image, (self.size, self.size), self.fill)

    def forward(self, pictures: Tensor, extent: Tensor) -> Proposals:
        """pictures (B, 3, S, S), extent (B, 2) -> a proposal for each of the network's own, at its likeliest class."""
        from torchvision.models.detection.image_list import ImageList

        inside = (extent * self.size).round()  # (B, 2)
        edge = torch.arange(self.size, device=extent.device)
        photo = (edge[:, None] < inside[:, 1, None, None]) & (edge < inside[:, 0, None, None])  # (B, S, S)
        pixels = (pictures - self.image_mean) / self.image_std * photo[:, None]
        maps = self.model.backbone(pixels)
        sizes = [(int(height), int(width)) for width, height in inside.tolist()]
        found, _ = self.model.rpn(ImageList(pixels, sizes), maps)  # B of (P, 4), in pixels
        counts = [len(boxes) for boxes in found]
        heads = self.model.roi_heads
        logits, offsets = heads.box_predictor(self._box_head(maps, found))
        scores, classes = logits.softmax(-1)[:, 1:].max(-1)  # (sum of P,); the first class is the background
        boxes = heads.box_coder.decode(offsets, found)[torch.arange(len(classes)), classes + 1] / self.size
        boxes, scores, classes = (
            pad_sequence(part.split(counts), batch_first=True) for part in (boxes, scores, classes)
        )
        return Proposals(of_the_photo(boxes, extent), scores, classes, (maps, extent))

    def describe(self, maps: tuple[Mapping[str, Tensor], Tensor], boxes: Tensor) -> Tensor:
        """Features of boxes (B, N, 4) in [0, 1] -> (B, N, 1024)."""
        pyramid, extent = maps
        corners = boxes * extent.repeat(1, 2)[:, None] * self.size
        return self._box_head(pyramid, list(corners)).unflatten(0, boxes.shape[:2])

    def _box_head(self, maps: Mapping[str, Tensor], boxes: list[Tensor]) -> Tensor:
        """Features of B lists of boxes in pixels -> (sum of their lengths, 1024)."""
        canvas = [(self.size, self.size)] * len(boxes)  # from which the strides of the pyramid are inferred
        return self.model.roi_heads.box_head(self.model.roi_heads.box_roi_pool(maps, boxes, canvas))

    def _fill(self, state: Mapping[str, Tensor], name: str) -> None:
        wanted = self.model.state_dict()
        unused = {key for key in wanted if key.endswith("num_batches_tracked")}  # frozen statistics have no count
        try:
            self.model.load_state_dict({**{key: wanted[key] for key in unused}, **state})
        except (RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{name} does not fit encoder.detector.model or class_names: {reason}") from None


def weights_of(model: str, weights: str) -> Mapping[str, Tensor] | None:
    """The tensors that `weights` means, None for random ones. Raises UserError where they cannot be had."""
    if weights == "none":
        return None
    if weights == "pretrained":
        return _from_hub(model)
    return read_weights(Path(weights), field="encoder.detector.weights")


def _from_hub(model: str) -> Mapping[str, Tensor]:
    from torchvision.models import get_model_weights

    try:
        return get_model_weights(model).DEFAULT.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # whatever the download raises, the remedy is the same
        raise UserError(
            f"encoder.detector.model={model}: its weights could not be fetched ({type(error).__name__}). Connect to "
            f"the network, or set encoder.detector.weights=FILE (.safetensors or .pth), or to none for random ones."
        ) from None
