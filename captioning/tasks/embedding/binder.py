"""A finished model of several senses: sounds, depth and motion as vectors in the space of images and words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from captioning.errors import UserError
from captioning.media.clip_inputs import as_clip
from captioning.media.depth_map import DepthMap
from captioning.media.kinds import is_sound
from captioning.media.sound import Sound
from captioning.runtime.prefetch import chunks_of
from captioning.tasks.embedding.embedder import Embedder, media_in
from captioning.tasks.predictor import ReadInput

AT_ONCE = 32


class Binder(Embedder):
    """An `Embedder` whose `embed`, `search` and index read sounds as well, where the model hears.

    >>> binder.embed_sound("bark.ogg") @ binder.embed_text("a dog barking")
    >>> binder.search("holidays", like="waves.wav")
    """

    def embed_sound(self, sounds: Any) -> NDArray[np.float32]:
        """The vector (W,) of a recording: a file, a `Sound`, or (samples, rate); or those of a list of them (n, W)."""
        return self.embed_sense("sound", sounds)

    def embed_depth(self, maps: Any) -> NDArray[np.float32]:
        """The vector (W,) of a depth map: a PNG, a `DepthMap`, or an array (H, W) of metres; or (n, W) of a list."""
        return self.embed_sense("depth", maps)

    def embed_motion(self, clips: Any) -> NDArray[np.float32]:
        """The vector (W,) of what moves in a clip: anything that `caption` takes for one; or (n, W) of a list."""
        return self.embed_sense("motion", clips)

    def embed_sense(self, name: str, inputs: Any) -> NDArray[np.float32]:
        """What `name` of the model's senses makes of an input (W,), or of a list of them (n, W).

        Raises UserError naming the first that cannot be read, and for a sense that this model has not.
        """
        if name not in self.task.senses:
            raise UserError(f"this model has no {name}: it has image, text, {', '.join(self.task.senses)}")
        encoder = self.task.senses[name]
        several = list(inputs) if isinstance(inputs, list) else [inputs]
        vectors = [np.zeros((0, self.task.width), np.float32)]
        for chunk in chunks_of(several, AT_ONCE):
            batch = encoder.collate([encoder.read(as_sensed(name, each)) for each in chunk]).to(self.device)
            with torch.inference_mode():
                vectors.append(self.task.embed_sense(name, encoder(batch)).float().cpu().numpy())
        found = np.concatenate(vectors)
        return found if isinstance(inputs, list) else found[0]

    def read(self, image: Any) -> ReadInput | UserError:
        """As `Predictor.read`; a recording is read by the encoder of sounds, a `DepthMap` by that of depth."""
        heard = isinstance(image, Sound) or (isinstance(image, (str, os.PathLike)) and is_sound(image))
        name = "depth" if isinstance(image, DepthMap) else "sound" if heard else None
        if name is None or name not in self.task.senses:
            return super().read(image)
        try:
            return self.task.senses[name], self.task.senses[name].read(as_sensed(name, image))
        except UserError as error:
            return error

    def vectors_of(self, inputs: Sequence[ReadInput]) -> dict[int, NDArray[np.float32]]:
        """As `Embedder.vectors_of`, each by the projection of its sense."""
        found: dict[int, NDArray[np.float32]] = {}
        names = {encoder: name for name, encoder in self.task.senses.items()}
        seen = [i for i, (encoder, _) in enumerate(inputs) if encoder not in names]
        for place, vector in super().vectors_of([inputs[i] for i in seen]).items():
            found[seen[place]] = vector
        others = [i for i, (encoder, _) in enumerate(inputs) if encoder in names]
        for places, memory in self.memories([inputs[i] for i in others]):
            name = names[inputs[others[places[0]]][0]]
            with torch.inference_mode():
                vectors = self.task.embed_sense(name, memory).float().cpu().numpy()
            found |= {others[place]: vector for place, vector in zip(places, vectors, strict=True)}
        return found

    def files_in(self, folder: Path, recursive: bool) -> list[Path]:
        """Photos, and recordings where the model hears."""
        return media_in(folder, recursive, sounds="sound" in self.task.senses)


def as_sensed(name: str, given: Any) -> Any:
    """What the encoder of a sense reads. Raises UserError for what is no such thing."""
    if name == "motion":
        return as_clip(given)
    kind = Sound if name == "sound" else DepthMap
    if isinstance(given, kind):
        return given
    if isinstance(given, (str, os.PathLike)):
        return Sound.open(given, confined=True) if name == "sound" else DepthMap.open(given)
    if name == "sound" and isinstance(given, tuple) and len(given) == 2:
        return Sound.of(*given)
    if name == "depth":
        return DepthMap.of(given)
    raise UserError(f"{type(given).__name__} is no {name}: give a file, a Sound, or samples and their rate")
