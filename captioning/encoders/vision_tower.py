"""The vision Transformers that published captioners look with, by timm: class token and patches are the memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from captioning.encoders.base import Encoder
from captioning.encoders.grid import check_sizes
from captioning.errors import UserError
from captioning.memory import VisualMemory

if TYPE_CHECKING:
    from PIL.Image import Image

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class VisionTower(Encoder):
    """A vision Transformer of any size. tokens: class token, then patches in reading order; pooled: the class token.

    `pre_norm` normalises before the first layer, as CLIP's does, whose patches have no bias. `distilled` has a second
    token behind the first, as DeiT's does (Touvron et al. 2021, arXiv:2012.12877). A picture is squashed to
    `size` x `size`, or with `crop` its shorter side is brought to `size` and the middle is seen.
    """

    def __init__(
        self,
        *,
        size: int = 384,
        patch: int = 16,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        hidden: int = 3072,
        activation: Literal["gelu", "quick_gelu"] = "gelu",
        pre_norm: bool = False,
        norm_eps: float = 1e-5,
        qkv_bias: bool = True,
        distilled: bool = False,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        crop: bool = False,
        resample: Literal["bicubic", "bilinear"] = "bicubic",
        finetune: bool = False,
    ):
        super().__init__(finetune=finetune)
        from timm.layers import QuickGELU
        from timm.models.deit import VisionTransformerDistilled
        from timm.models.vision_transformer import VisionTransformer

        if activation not in ("gelu", "quick_gelu"):
            raise UserError(f"encoder.activation={activation}: it is gelu or quick_gelu")
        self.look(size, width, mean, std, crop, resample)
        self.backbone = (VisionTransformerDistilled if distilled else VisionTransformer)(
            img_size=size,
            patch_size=patch,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            mlp_ratio=hidden / width,
            qkv_bias=qkv_bias,
            pre_norm=pre_norm,
            norm_layer=partial(nn.LayerNorm, eps=norm_eps),
            act_layer=QuickGELU if activation == "quick_gelu" else nn.GELU,
            num_classes=0,
            global_pool="token" if distilled else "",
        )
        self.freeze()

    def look(
        self, size: int, width: int, mean: Sequence[float], std: Sequence[float], crop: bool, resample: str
    ) -> None:
        """Keeps how a picture is brought to the tower, and how wide its tokens are."""
        check_sizes(size, None)
        if resample not in ("bicubic", "bilinear"):
            raise UserError(f"encoder.resample={resample}: it is bicubic or bilinear")
        self.size, self.width, self.crop, self.resample = size, width, crop, resample
        for name, values in (("mean", mean), ("std", std)):  # of pixels from 0 to 1
            self.register_buffer(name, torch.tensor(list(values)).view(3, 1, 1), persistent=False)

    def read(self, image: Image) -> Tensor:
        """One RGB picture -> uint8 (3, S, S)."""
        from PIL.Image import Resampling

        how, wanted = getattr(Resampling, self.resample.upper()), (self.size, self.size)
        if self.crop:
            short = min(image.size)
            wanted = tuple(max(self.size, int(self.size * side / short)) for side in image.size)
        if image.size != wanted:
            image = image.resize(wanted, how)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
        top, left = ((side - self.size) // 2 for side in pixels.shape[1:])
        return pixels[:, top : top + self.size, left : left + self.size]

    def forward(self, pictures: Tensor) -> VisualMemory:
        """pictures (B, 3, S, S), 0 to 255 -> N = 1 + patches tokens."""
        return self.memory((pictures.to(self.mean.dtype) / 255 - self.mean) / self.std)

    def memory(self, pixels: Any) -> VisualMemory:
        """Normalised pixels (B, 3, S, S) -> their memory."""
        with torch.set_grad_enabled(self.finetune and torch.is_grad_enabled()):
            tokens = self.backbone.forward_features(pixels)  # (B, N, D)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return VisualMemory(tokens, mask, tokens[:, 0])


class SwinTower(VisionTower):
    """A Swin Transformer of any size (Liu et al. 2021, arXiv:2103.14030). tokens: its last map in reading order;
    pooled: their mean."""

    def __init__(
        self,
        *,
        size: int = 224,
        patch: int = 4,
        width: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (3, 6, 12, 24),
        window: int = 7,
        mlp_ratio: float = 4.0,
        norm_eps: float = 1e-5,
        qkv_bias: bool = True,
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
        crop: bool = False,
        resample: Literal["bicubic", "bilinear"] = "bicubic",
        finetune: bool = False,
    ):
        """`width` is that of the first stage, and doubles with each further one."""
        Encoder.__init__(self, finetune=finetune)
        from timm.models.swin_transformer import SwinTransformer

        if len(depths) != len(heads):
            raise UserError(f"encoder.depths={list(depths)}, encoder.heads={list(heads)}: one of each a stage")
        self.look(size, width * 2 ** (len(depths) - 1), mean, std, crop, resample)
        self.backbone = SwinTransformer(
            img_size=size,
            patch_size=patch,
            embed_dim=width,
            depths=tuple(depths),
            num_heads=tuple(heads),
            window_size=window,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            norm_layer=partial(nn.LayerNorm, eps=norm_eps),
            num_classes=0,
            global_pool="",
        )
        self.freeze()

    def memory(self, pixels: Any) -> VisualMemory:
        """Normalised pixels (B, 3, S, S) -> their memory."""
        with torch.set_grad_enabled(self.finetune and torch.is_grad_enabled()):
            tokens = self.backbone.forward_features(pixels).flatten(1, 2)  # (B, H, W, D) -> (B, N, D)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return VisualMemory(tokens, mask, tokens.mean(1))
