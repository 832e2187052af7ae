"""A clip through an encoder of pictures, an encoder of motion, or both: one token a frame, or one a cell of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from captioning.encoders.base import Composite, Encoder
from captioning.encoders.concepts import ConceptEncoder
from captioning.encoders.motion import MotionEncoder
from captioning.errors import UserError
from captioning.media.clip import Clip, FrameSampling
from captioning.memory import VisualMemory

POOLS = ("frame", "grid")
CHUNK = 64  # frames, or snippets of a few frames each, that go through a backbone at once


@dataclass(frozen=True)
class Readings:
    """Frames for an encoder whose batch is no single tensor, such as one of regions: each as it was read."""

    frames: tuple[Any, ...]  # F
    moved: tuple[Any, ...] = ()  # arguments of `Tensor.to`, for when batches are made of them

    def to(self, *args: Any) -> Readings:
        """Batches will be moved as `Tensor.to` moves them."""
        return replace(self, moved=args)

    def batches(self, encoder: Encoder, size: int) -> list[Any]:
        """At most `size` frames each, as the encoder's `collate` makes them."""
        starts = range(0, len(self.frames), size)
        return [encoder.collate(self.frames[start : start + size]).to(*self.moved) for start in starts]


@dataclass(frozen=True)
class Frames:
    """What is read of one clip: F frames; or of B clips, their frames one after the other."""

    times: Tensor  # (F,) seconds from the first frame of the clip
    counts: Tensor  # (B,) frames of each clip; of one clip, one number
    images: Tensor | Readings | None = None  # (F, ...) what the image encoder's `collate` makes of them
    snippets: Tensor | None = None  # (F, L, 3, S, S) uint8, the frames around each

    def to(self, *args: Any, **kwargs: Any) -> Frames:
        """Tensors moved as `Tensor.to` moves them."""
        present = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        return replace(self, **{name: part.to(*args, **kwargs) for name, part in present.items()})


class FrameEncoder(Composite):
    """Frames of a clip as `sampling` picks them, each through `image`, its surroundings through `motion`.

    With both, a frame's token is the image's features followed by those of the motion around it: width is the sum.
    `pool` "frame": one token a frame, what each encoder pools. "grid": a token for every token of the image encoder,
    each with the motion of its frame; without an image encoder, for every cell of the motion encoder's map.
    Tokens of a frame follow one another and have one time. pooled: the mean over the frames.

    `sampling` has the keywords of `FrameSampling`. Without `finetune` each part learns only if it says so itself.
    """

    takes = "clip"

    def __init__(
        self,
        *,
        image: Encoder | None = None,
        motion: MotionEncoder | None = None,
        sampling: FrameSampling | Mapping[str, Any] | None = None,
        pool: str = "frame",
        finetune: bool = False,
    ):
        parts = [part for part in (image, motion) if part is not None]
        if not parts:
            raise UserError("encoder: a frame encoder needs image, motion or both")
        if image is not None and (not isinstance(image, Encoder) or image.takes != "image"):
            raise UserError(f"encoder.image is {type(image).__name__}: it has to be an encoder of pictures")
        if motion is not None and not isinstance(motion, MotionEncoder):
            raise UserError(f"encoder.motion is {type(motion).__name__}: it has to be a MotionEncoder")
        if pool not in POOLS:
            raise UserError(f"encoder.pool is {pool!r}: it is one of {', '.join(POOLS)}")
        super().__init__(parts, finetune=finetune)
        self.image, self.motion, self.pool = image, motion, pool
        self.sampling = FrameSampling.of(sampling)
        self.width = sum(part.width for part in parts)
        self.size = max(part.size for part in parts)

    @classmethod
    def around(cls, image: Encoder, *, frames: int = 8, pool: str = "grid") -> FrameEncoder:
        """An encoder of clips that looks at frames as `image` looks at photos, and shares its weights.

        Of a frame nobody names concepts: an encoder that has them looks without.
        """
        image = image.encoder if isinstance(image, ConceptEncoder) else image
        return cls(image=image, sampling=FrameSampling(frames=frames), pool=pool)

    def read(self, clip: Clip) -> Frames:
        """One clip -> its frames, as each part reads them."""
        look = {"size": self.size, "threads": torch.get_num_threads()}
        if self.motion is None:
            seen, times = clip.sample(self.sampling, **look)
            frames, snippets = seen, None
        else:
            length = self.motion.frames
            seen, times = clip.snippets(self.sampling, length=length, fps=self.motion.fps, **look)
            frames = [snippet[length // 2] for snippet in seen]
            snippets = torch.stack([self.motion.read(snippet) for snippet in seen])
        images = _readings(self.image, frames) if self.image else None
        return Frames(torch.from_numpy(times), torch.tensor([len(times)]), images, snippets)

    def collate(self, clips: Sequence[Frames]) -> Frames:
        """Clips of any number of frames -> their frames one after the other, none of them padding."""
        parts = {f.name: [getattr(clip, f.name) for clip in clips] for f in fields(Frames)}
        return Frames(**{name: _joined(part) for name, part in parts.items()})

    def forward(self, clips: Frames) -> VisualMemory:
        """-> N = the most frames of a clip, times the tokens of a frame; a shorter clip is padded behind."""
        seen = _join(self._through(self.image, clips.images), self._through(self.motion, clips.snippets), self.pool)
        tokens_a_frame = seen.tokens.shape[1]
        counts = clips.counts.tolist()
        times = clips.times[:, None].expand(-1, tokens_a_frame)

        def by_clip(part: Tensor) -> Tensor:  # (all F, n, ...) -> (B, N, ...)
            padded = nn.utils.rnn.pad_sequence(part.split(counts), batch_first=True)
            return padded.flatten(1, 2)

        pooled = torch.stack([part.mean(0) for part in seen.pooled.split(counts)])
        regions = {name: getattr(seen, name) for name in ("boxes", "classes", "scores")}
        regions = {name: by_clip(part) for name, part in regions.items() if part is not None}
        return VisualMemory(by_clip(seen.tokens), by_clip(seen.mask), pooled, times=by_clip(times), **regions)

    def _through(self, part: Encoder | None, frames: Tensor | Readings | None) -> VisualMemory | None:
        """What a part sees in every frame, a bounded number of them at once."""
        if part is None:
            return None
        chunks = frames.batches(part, CHUNK) if isinstance(frames, Readings) else frames.split(CHUNK)
        return VisualMemory.stack([part(chunk) for chunk in chunks])


def _readings(encoder: Encoder, frames: Sequence[Any]) -> Tensor | Readings:
    readings = [encoder.read(frame) for frame in frames]
    batch = encoder.collate(readings)
    return batch if isinstance(batch, Tensor) else Readings(tuple(readings))


def _joined(parts: Sequence[Tensor | Readings | None]) -> Tensor | Readings | None:
    if isinstance(parts[0], Readings):
        return Readings(tuple(frame for part in parts for frame in part.frames))
    return None if parts[0] is None else torch.cat(parts)


def _join(image: VisualMemory | None, motion: VisualMemory | None, pool: str) -> VisualMemory:
    """The memories of F frames by each part -> one whose tokens are as wide as both."""
    whole = [seen.pooled for seen in (image, motion) if seen is not None]  # (F, D) each
    pooled = torch.cat(whole, -1)
    if pool == "frame":
        return VisualMemory(pooled[:, None], torch.ones_like(pooled[:, :1], dtype=torch.bool), pooled)
    if image is None or motion is None:
        cells = image or motion
        return replace(cells, pooled=pooled)
    around = motion.pooled[:, None].expand(-1, image.tokens.shape[1], -1)
    return replace(image, tokens=torch.cat([image.tokens, around], -1), pooled=pooled)
