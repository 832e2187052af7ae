"""The seam between pixels and what was seen: every encoder is an `Encoder`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from captioning.memory import VisualMemory

if TYPE_CHECKING:
    from PIL.Image import Image

    from captioning.example import Example

OUTSIDE = ("weights", "finetune", "file")  # keywords that say where weights come from, or whether they learn


class Encoder(nn.Module):
    """Pixels in, a `VisualMemory` out.

    A subclass sets `width` (D of its tokens) and `size` (pixels it wants to see, a hint for fast decoding), and
    implements `read` and `forward`. What it reads is an RGB picture, or where it says so in `takes` a `Clip`, a `Sound`
    or a `DepthMap` of `captioning.media`. Frozen unless `finetune`: a frozen encoder stays in eval mode and is run once
    per picture, through a feature store. Where a constructor, or that of a part, takes `weights` or `file`, "none" and
    None have to mean random or absent ones: a finished model brings its own.
    """

    width: int
    size: int
    takes: Literal["image", "clip", "sound", "depth"] = "image"
    storable = True  # whether a feature store can keep what it returns

    def __init__(self, *, finetune: bool = False):
        super().__init__()
        self.finetune = finetune

    def read(self, image: Image) -> Any:
        """One RGB picture, or clip -> what `collate` makes a batch of; runs in the loader's workers, so no weights."""
        raise NotImplementedError

    def read_annotated(self, image: Image, example: Example) -> Any:
        """What `read` returns, for a picture of which a source knows more, such as the boxes in it."""
        return self.read(image)

    def collate(self, pictures: Sequence[Any]) -> Any:
        """Several results of `read` -> the argument of `forward`, which has a method `to` as tensors have."""
        return torch.stack(list(pictures))

    def forward(self, pictures: Any) -> VisualMemory:
        """A batch of what `read` returned -> the memory of each."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Called by a subclass once its layers exist."""
        self.requires_grad_(self.finetune)
        self.train(self.training)

    def train(self, mode: bool = True) -> Encoder:
        """Batch norm keeps the statistics of its pre-training, so an encoder never leaves eval mode unless trained."""
        super().train(mode and self.finetune)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and not self.learns_statistics():
                module.eval()
        return self

    def learns_statistics(self) -> bool:
        """True for an encoder without pre-training, whose batch norm has no statistics worth keeping."""
        return False

    def digest(self, config: dict) -> str:
        """A fingerprint of configuration and weights: two encoders with the same one return the same memory."""
        fingerprint = hashlib.sha256(json.dumps(architecture(config), sort_keys=True, default=str).encode())
        for name, tensor in self.state_dict().items():
            fingerprint.update(name.encode())
            fingerprint.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return fingerprint.hexdigest()


class Composite(Encoder):
    """An encoder made of `parts`: with `finetune` all of them learn, without it those that say so themselves."""

    def __init__(self, parts: Sequence[Encoder], *, finetune: bool = False):
        super().__init__(finetune=finetune or any(part.finetune for part in parts))
        for part in parts if finetune else []:
            part.finetune = True
            part.freeze()
        for part in parts:
            part.train(self.training and self.finetune)

    def train(self, mode: bool = True) -> Composite:
        """Each part knows for itself what it may learn."""
        nn.Module.train(self, mode and self.finetune)
        return self


def architecture(config: Any) -> Any:
    """An encoder's configuration, at any depth without what its weights make superfluous."""
    if isinstance(config, Mapping):
        return {key: architecture(value) for key, value in config.items() if key not in OUTSIDE}
    return [architecture(value) for value in config] if isinstance(config, (list, tuple)) else config
