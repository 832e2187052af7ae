"""A video backbone on a few successive frames: what moves, and how."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from captioning.encoders.base import Encoder
from captioning.encoders.grid import check_sizes
from captioning.encoders.weights import first_line, load_weights
from captioning.errors import UserError
from captioning.memory import VisualMemory

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_FRAMES = 256
HEADS = ("fc.", "head.", "classifier.")  # layers that name the actions of the data set a backbone was trained on


class MotionEncoder(Encoder):
    """A video backbone of torchvision. tokens: its last map, averaged over time; pooled: their mean.

    `weights`: "pretrained" (of Kinetics-400, from the model hub), a .safetensors or .pth file, or "none" for random
    ones. A snippet is `frames` frames, `fps` a second, squashed to `size` x `size` (null: what the backbone was
    trained on). Sixteen frames, 15 a second, are what the ResNets were trained on (Tran et al., A Closer Look at
    Spatiotemporal Convolutions, CVPR 2018); an MViT was on 16 at 7.5, of 224 pixels, of which the first version takes
    no other number, and a Swin-3D on 32 at 15.
    """

    def __init__(
        self,
        *,
        backbone: str = "r3d_18",
        weights: str = "pretrained",
        frames: int = 16,
        fps: float = 15.0,
        size: int | None = None,
        finetune: bool = False,
    ):
        super().__init__(finetune=finetune)
        if type(frames) is not int or not 1 <= frames <= MAX_FRAMES:
            raise UserError(f"encoder.motion.frames is {frames!r}: it is a number from 1 to {MAX_FRAMES}")
        if not isinstance(fps, (int, float)) or not 0 < fps <= 1000:
            raise UserError(f"encoder.motion.fps is {fps!r}: it is a number of frames a second")
        preset = trained_on(backbone)
        self.size = preset.crop_size[0] if size is None else size
        check_sizes(self.size, None)
        self.frames, self.fps, self.pretrained = frames, fps, weights != "none"
        self.backbone, self.width = load_backbone(backbone, weights)
        for name, values in (("mean", preset.mean), ("std", preset.std)):  # of pixels from 0 to 255
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1) * 255, persistent=False)
        self.freeze()

    def learns_statistics(self) -> bool:
        return not self.pretrained and self.finetune

    def read(self, snippet: Sequence[Image]) -> Tensor:
        """L RGB pictures -> uint8 (L, 3, S, S)."""
        from PIL.Image import Resampling

        shape = (self.size, self.size)
        small = [p if p.size == shape else p.resize(shape, Resampling.BICUBIC, reducing_gap=3.0) for p in snippet]
        return torch.from_numpy(np.stack([np.asarray(picture) for picture in small])).permute(0, 3, 1, 2).contiguous()

    def forward(self, snippets: Tensor) -> VisualMemory:
        """snippets (B, L, 3, S, S), 0 to 255 -> N = h * w tokens."""
        pixels = ((snippets.to(self.mean.dtype) - self.mean) / self.std).transpose(1, 2)  # (B, 3, L, S, S)
        with torch.set_grad_enabled(self.finetune and torch.is_grad_enabled()):
            try:
                maps = features(self.backbone, pixels)  # (B, D, L', h, w)
            except torch.cuda.OutOfMemoryError:
                raise
            except (AssertionError, RuntimeError, ValueError) as error:  # too few frames or pixels to go on halving
                size = f"encoder.motion: {self.frames} frames of {self.size} pixels do"
                raise UserError(f"{size} not suit {type(self.backbone).__name__}: {first_line(error)}") from error
            tokens = maps.mean(2).flatten(2).transpose(1, 2)  # (B, N, D)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return VisualMemory(tokens, mask, tokens.mean(1))


def features(backbone: nn.Module, pixels: Tensor) -> Tensor:
    """The last map of a torchvision video model: pixels (B, 3, L, S, S) -> (B, D, L', h, w)."""
    from torchvision.models.video import S3D, MViT, SwinTransformer3d, VideoResNet

    if isinstance(backbone, VideoResNet):
        for layer in (backbone.stem, backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4):
            pixels = layer(pixels)
        return pixels
    if isinstance(backbone, S3D):
        return backbone.features(pixels)
    if isinstance(backbone, SwinTransformer3d):
        cells = backbone.features(backbone.pos_drop(backbone.patch_embed(pixels)))
        return backbone.norm(cells).permute(0, 4, 1, 2, 3)
    assert isinstance(backbone, MViT)
    cells = backbone.conv_proj(pixels)
    shape = cells.shape[2:]
    tokens = backbone.pos_encoding(cells.flatten(2).transpose(1, 2))
    for block in backbone.blocks:
        tokens, shape = block(tokens, shape)
    return backbone.norm(tokens)[:, 1:].transpose(1, 2).unflatten(2, shape)  # without the class token


def trained_on(name: str):
    """How torchvision prepares clips for its weights of this name: crop_size, mean, std. Raises UserError."""
    from torchvision.models import get_model_weights, list_models, video

    names = list_models(module=video)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, 3) or names
        raise UserError(f"encoder.motion.backbone={name}: torchvision has no such model; is it {' or '.join(near)}?")
    return get_model_weights(name).DEFAULT.transforms()


def load_backbone(name: str, weights: str) -> tuple[nn.Module, int]:
    """A torchvision video model without its classifier, and the width of its map. Raises UserError with the remedy."""
    from torchvision.models import get_model

    try:
        model = get_model(name, weights="DEFAULT" if weights == "pretrained" else None)
    except (OSError, RuntimeError, ValueError) as error:
        if weights != "pretrained":
            raise UserError(f"encoder.motion.backbone={name}: {first_line(error)}") from error
        raise UserError(
            f"encoder.motion.backbone={name}: its weights could not be fetched ({type(error).__name__}). Connect to "
            f"the network, or set encoder.motion.weights=FILE.safetensors or .pth, or =none for random ones."
        ) from error
    width = _without_head(model)
    if weights not in ("pretrained", "none"):
        load_weights(model, Path(weights), field="encoder.motion.weights", beside=HEADS)
    return model, width


def _without_head(model: nn.Module) -> int:
    """Takes the classifier off. -> the width of what went into it."""
    name = next(name for name in ("fc", "head", "classifier") if hasattr(model, name))
    head = getattr(model, name)
    layer = next(layer for layer in head.modules() if isinstance(layer, (nn.Linear, nn.Conv3d)))
    setattr(model, name, nn.Identity())
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
