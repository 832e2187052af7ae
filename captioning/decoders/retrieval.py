"""A decoder that remembers which photos it has seen, and what people said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from captioning.decoders.base import Context, Decoder, DecoderFeatures, State, StepOutput
from captioning.decoders.likeness import learned_directions
from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.metrics.reward import CiderReward
from captioning.runtime.option_checks import require_number, require_whole
from captioning.text.vocabulary import PAD

MEMORY = ("projection", "offset", "keys", "captions", "caption_counts")
REMEDY = "copy the model's folder again, or make the memory again by captioning remember"
SMALLEST = 1e-3  # what changes less than that, in parts of a standard deviation, tells nothing


@dataclass
class RetrievalContext(Context):
    """What the decoder itself prepared, and the remembered photos that look most like each image."""

    own: Context
    photos: Tensor  # (B, N) their numbers, the most alike first
    trust: Tensor  # (B, N) how much each counts, rows sum to one
    likeness: Tensor  # (B,) how alike they are in the mean, from -1 to 1

    def keep(self, images: Tensor) -> RetrievalContext:
        parts = {name: getattr(self, name)[images] for name in ("photos", "trust", "likeness")}
        return replace(self, own=self.own.keep(images), **parts)


class RetrievalDecoder(Decoder[RetrievalContext, State]):
    """Speaks as `decoder` does, and knows the `neighbours` remembered photos that look most like the one before it.

    Photos are alike by the cosine of their pooled features, standardised and projected onto what varies most among
    those remembered; each counts in proportion to exp(`sharpness` x cosine). Empty until `index_captions` is
    called or a finished model's file is read, which brings the memory: `projection` (D, K) and `offset` (K,), so that
    pooled @ projection - offset is a place among the `keys` (P, K), and `captions` (C, T), word ids, of which each
    photo has `caption_counts` (P,) many, one photo after the other. `generation=consensus` makes use of it.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        visual_width: int,
        vocabulary_size: int,
        neighbours: int = 20,
        sharpness: float = 10.0,
    ):
        super().__init__()
        if not isinstance(decoder, Decoder) or isinstance(decoder, RetrievalDecoder):
            raise UserError("decoder.decoder: name a decoder there, one that remembers nothing yet")
        check_options(neighbours=neighbours, sharpness=sharpness)
        self.decoder, self.neighbours, self.sharpness = decoder, neighbours, sharpness
        self.visual_width, self.vocabulary_size = visual_width, vocabulary_size
        kinds = {"captions": torch.int16 if vocabulary_size < 2**15 else torch.int32, "caption_counts": torch.int32}
        for name in MEMORY:
            self.register_buffer(name, torch.zeros(0, dtype=kinds.get(name, torch.float32)))

    def index_captions(
        self,
        pooled: Tensor,
        captions: Sequence[Sequence[Sequence[int]]],
        *,
        dimensions: int = 128,
        learned: bool = False,
    ) -> RetrievalDecoder:
        """Takes P photos in, whatever was there before: pooled (P, D), and for each its captions as word ids.

        `dimensions` (K) is how many numbers are kept of a photo, fewer where photos differ in fewer. Photos are
        alike by their principal components, or, `learned`, by directions along which those lie together of which the
        same was said. -> itself.
        Raises UserError where there is nothing to remember of a photo.
        """
        check_options(dimensions=dimensions)
        pooled = pooled.float()
        if pooled.shape != (len(captions), self.visual_width) or not pooled.isfinite().all():
            raise UserError(f"pooled has to be {len(captions)} rows of {self.visual_width} finite numbers, one a photo")
        if not len(pooled) or not all(captions):
            raise UserError("there is nothing to remember: every photo needs a caption")
        mean, deviation = pooled.mean(0), pooled.std(0, unbiased=False) + SMALLEST
        places = (pooled - mean) / deviation
        spread, directions = torch.linalg.eigh(places.T @ places)
        differ = int((spread > SMALLEST * spread[-1]).sum())  # along the others these photos do not tell anything apart
        directions = directions.flip(1)[:, : max(1, min(dimensions, differ))]  # (D, K)
        if learned:
            directions = learned_directions(places, directions, captions)
        flat = [torch.tensor(words, dtype=self.captions.dtype) for each in captions for words in each]
        self.projection = (directions / deviation[:, None]).contiguous()
        self.offset = mean @ self.projection
        self.keys = F.normalize(places @ directions, dim=1)
        self.captions = nn.utils.rnn.pad_sequence(flat, batch_first=True, padding_value=PAD)
        self.caption_counts = torch.tensor([len(each) for each in captions], dtype=self.caption_counts.dtype)
        self.check()
        return self

    def check(self) -> None:
        """Raises UserError unless the parts of the memory fit each other, the encoder and the vocabulary."""
        photos, dimensions = self.keys.shape if self.keys.dim() == 2 else (0, 0)
        fits = (
            photos > 0
            and self.projection.shape == (self.visual_width, dimensions)
            and self.offset.shape == (dimensions,)
            and self.caption_counts.shape == (photos,)
            and self.captions.dim() == 2
            and int(self.caption_counts.min()) > 0
            and int(self.caption_counts.sum()) == len(self.captions)
            and self.captions.shape[1] > 0
            and 0 <= int(self.captions.min()) <= int(self.captions.max()) < self.vocabulary_size
            and all(bool(part.isfinite().all()) for part in (self.projection, self.offset, self.keys))
        )
        if not fits:
            raise UserError(f"what the decoder remembers does not fit together: {REMEDY}")
        self.__dict__.pop("reward", None)

    @cached_property
    def reward(self) -> CiderReward:
        """CIDEr-D with the remembered captions of a photo, each n-gram as rare as it is among all of them."""
        captions, ends = self.captions.cpu().numpy(), self.caption_counts.cpu().cumsum(0).tolist()
        starts = [0, *ends[:-1]]
        return CiderReward({i: list(captions[a:b]) for i, (a, b) in enumerate(zip(starts, ends, strict=True))})

    def neighbours_of(self, memory: VisualMemory) -> tuple[Tensor, Tensor, Tensor]:
        """The photos most alike (B, N), how much each counts (B, N), and how alike they are in the mean (B,).

        Raises UserError where there is nothing to remember.
        """
        if not len(self.keys):
            raise UserError("the decoder remembers nothing yet: captioning remember makes a model that does")
        places = F.normalize(memory.pooled.to(self.projection.dtype) @ self.projection - self.offset, dim=1)
        likeness, photos = (places @ self.keys.T).topk(min(self.neighbours, len(self.keys)))
        return photos, (self.sharpness * likeness).softmax(-1), likeness.mean(-1)

    def prepare(self, memory: VisualMemory) -> RetrievalContext:
        """Raises UserError where there is nothing to remember."""
        photos, trust, likeness = self.neighbours_of(memory)
        return RetrievalContext(self.decoder.prepare(memory), photos, trust, likeness)

    def agreement(self, context: RetrievalContext, words: Tensor) -> Tensor:
        """The mean CIDEr-D, 0 to 10, of captions with those of the photos most alike. words (B, K, T) -> (B, K).

        Devlin et al. 2015, arXiv:1505.04467, whose consensus is among the captions of the neighbours.
        """
        images, neighbours = context.photos.shape
        samples = words.repeat_interleave(neighbours, 0).cpu().numpy()  # (B * N, K, T)
        scores = torch.from_numpy(self.reward(context.photos.flatten().tolist(), samples)).to(context.trust)
        return (scores.view(images, neighbours, -1) * context.trust[..., None]).sum(1)

    def forward_features(self, context: RetrievalContext, words: Tensor) -> DecoderFeatures:
        return self.decoder.forward_features(context.own, words)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.decoder.forward_head(features)

    def start(self, context: RetrievalContext, rows: int) -> State:
        return self.decoder.start(context.own, rows)

    def step(self, context: RetrievalContext, state: State, words: Tensor) -> StepOutput:
        return self.decoder.step(context.own, state, words)

    def _load_from_state_dict(self, state: dict, prefix: str, *rest: Any) -> None:
        for name in MEMORY:  # as large as the file says
            if (there := state.get(f"{prefix}{name}")) is not None:
                mine = getattr(self, name)
                whole = not mine.is_floating_point()
                if there.is_floating_point() == whole or (whole and not torch.equal(there.to(mine).to(there), there)):
                    raise UserError(f"{prefix}{name} has other numbers than it may: {REMEDY}")
                setattr(self, name, getattr(self, name).new_empty(there.shape))
        super()._load_from_state_dict(state, prefix, *rest)
        if all(f"{prefix}{name}" in state for name in MEMORY):
            self.check()


def check_options(*, neighbours: int = 1, sharpness: float = 0.0, dimensions: int = 1) -> None:
    """Raises UserError for a number out of its range."""
    require_whole("", neighbours=neighbours, dimensions=dimensions)
    require_number("", sharpness=sharpness)
    for name, value, least in (
        ("neighbours", neighbours, 1),
        ("sharpness", sharpness, 0),
        ("dimensions", dimensions, 1),
    ):
        if value < least:
            raise UserError(f"{name} is {value}: it is {least} or more")


def without_retrieval(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a model as they were before its decoder, decoder.* or task.decoder.*, remembered."""
    decoder = "task.decoder." if any(name.startswith("task.decoder.") for name in weights) else "decoder."
    memory = {f"{decoder}{name}" for name in (*MEMORY, "said")}  # as the last was once called
    if f"{decoder}projection" not in weights:
        return weights
    kept = {name: tensor for name, tensor in weights.items() if name not in memory}
    inside = f"{decoder}decoder."
    return {f"{decoder}{n.removeprefix(inside)}" if n.startswith(inside) else n: t for n, t in kept.items()}
