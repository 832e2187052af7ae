"""CLIP of the model hub as it is (`captioning[hub]`): it judges, ranks, finds and classifies as an embedder does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from captioning.encoders.base import Encoder
from captioning.encoders.raw_pictures import PictureMemory, RawPictures
from captioning.encoders.text import TextEncoder
from captioning.errors import UserError
from captioning.heads.projection import unit
from captioning.models.bundle import Bundle, target
from captioning.models.published.generating import as_parameters, quietly, read_processor
from captioning.models.published.hub import NEEDS
from captioning.models.published.pickles import one_line
from captioning.tasks.embedding.objectives import Contrastive
from captioning.tasks.embedding.task import Embedding
from captioning.text.vocabulary import PAD


class PublishedText(TextEncoder):
    """CLIP's tower of texts, cut where CLIP cuts them. Numbers are CLIP's tokens and one, for PAD is none of them."""

    def __init__(self, model: nn.Module, tokenizer: Any):
        super().__init__()
        self.tower, self.projection = model.text_model, model.text_projection
        self.tokenizer, self.width = tokenizer, model.config.projection_dim
        self.end, self.most = tokenizer.eos_token_id, model.config.text_config.max_position_embeddings

    def encode(self, text: str) -> list[int]:
        return [1 + token for token in self.tokenizer(text, truncation=True, max_length=self.most).input_ids]

    def forward(self, words: Tensor) -> Tensor:
        rows = words.flatten(0, 1)
        tokens = torch.where(rows == PAD, self.end + 1, rows) - 1  # behind the end, which is read, nothing is seen
        found = self.tower(input_ids=tokens, attention_mask=(rows != PAD).long()).pooler_output
        return self.projection(found).unflatten(0, words.shape[:2])


class PublishedImage(nn.Module):
    """CLIP's tower of pictures; of a clip the mean of its frames' vectors."""

    def __init__(self, model: nn.Module, reader: Any):
        super().__init__()
        self.tower, self.projection, self.reader = model.vision_model, model.visual_projection, reader

    def forward(self, memory: PictureMemory) -> Tensor:
        """-> (B, W) of unit length."""
        frames = [frame for several in memory.pictures for frame in several]
        inputs = as_parameters(self.reader(images=frames, return_tensors="pt"), self.projection)
        vectors = unit(self.projection(self.tower(pixel_values=inputs["pixel_values"]).pooler_output))
        parts = vectors.split([len(several) for several in memory.pictures])
        return unit(torch.stack([part.mean(0) for part in parts]))


class UnitLength(nn.Module):
    """Vectors (..., W) of unit length."""

    def forward(self, x: Tensor) -> Tensor:
        return unit(x)


class PublishedEmbedding(Embedding):
    """A finished model that others trained and that is used as it is: it learns nothing and is not saved."""

    files = ()

    def __init__(self, model: nn.Module, processor: Any, name: str):
        super().__init__(text={}, image={}, objective={}, width=model.config.projection_dim)
        self.name = name
        self.text, self.project_text = PublishedText(model, processor.tokenizer), UnitLength()
        self.image = PublishedImage(model, processor.image_processor)
        self.objective = Contrastive()
        with torch.no_grad():
            self.objective.scale.exponent.copy_(model.logit_scale.detach())

    def config(self) -> dict[str, Any]:
        return {"_target_": target(type(self)), "model": self.name}

    def texts(self) -> NoReturn:
        """Raises UserError: what is used by a library of others is not saved."""
        raise UserError(f"{self.name} is used as it is by transformers, and becomes no model here")

    def check(self, encoder: Encoder) -> None:
        return None

    def summary(self) -> str:
        return f"CLIP by transformers, {self.width} numbers a vector"


def clip_bundle(folder: Path, name: str) -> Bundle:
    """The CLIP in a folder of the hub's layout. Raises UserError where it cannot be read or is not whole."""
    try:
        from transformers import CLIPModel
    except ImportError:
        raise UserError(f"{name}: {NEEDS}") from None
    own: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quietly():
            processor = read_processor(folder, own)
            model, found = CLIPModel.from_pretrained(str(folder), weights_only=True, output_loading_info=True, **own)
    except ImportError as error:
        raise UserError(f"{folder}: its CLIP needs a package that is not here: {one_line(error)}") from None
    except Exception as error:  # damaged files raise nearly anything
        raise UserError(f"{folder} cannot be read as a CLIP: {one_line(error)}") from None
    if missing := sorted([*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])]):
        raise UserError(f"{folder} has not the weights of its CLIP: {len(missing)} are missing, first {missing[0]}")
    task = PublishedEmbedding(model.float(), processor, name)  # halves are slow on processors
    return Bundle(RawPictures().eval(), {"_target_": target(RawPictures)}, task.eval())
