"""CLIPScore and RefCLIPScore of many captions, by an embedder (Hessel et al. 2021, arXiv:2104.08718)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from captioning.data.source import Source
from captioning.errors import UserError
from captioning.metrics.bootstrap import mean_of
from captioning.metrics.scores import Scores
from captioning.tasks.embedding.embedder import Embedder

Vectors = Mapping[Any, NDArray[np.float32]]  # by picture, (W,) of unit length


def require_captions(predictions: Sequence[Any]) -> None:
    """Raises UserError for what an embedder cannot judge."""
    if not predictions or not all(isinstance(caption, str) for caption in predictions):
        raise UserError("embedder= judges captions, and this model predicts none")


def source_vectors(embedder: Embedder, source: Source, split: str, **options: Any) -> Vectors:
    """Those of a split's pictures or clips by id, from a store where there is one. `options`: `predict_split`'s."""

    def look(memory: Any, targets: Any) -> list[NDArray[np.float32]]:
        return list(embedder.task.embed_images(memory).cpu().numpy())

    return embedder.predict_split(source, split, predict=look, **options)[1]


def file_vectors(embedder: Embedder, files: Mapping[Any, Path]) -> Vectors:
    """Those of photos or clips in files. Raises UserError naming the first that cannot be read."""
    found = {}
    for key, (_, vector) in zip(files, embedder.stream(files.values()), strict=True):
        if isinstance(vector, UserError):
            raise vector
        found[key] = vector
    return found


def add_clip_scores(
    scores: Scores,
    embedder: Embedder,
    vectors: Vectors,
    captions: Mapping[Any, Any],
    references: Mapping[Any, Sequence[str]],
) -> None:
    """Puts CLIPScore, and RefCLIPScore where all pictures have references, beside the other scores of the pictures.

    They are by this embedder's vectors, and compare with figures of the same one only. Raises UserError where what is
    judged are no captions, or a picture is missing.
    """
    keys = list(scores.images)
    said = [captions[key] for key in keys]
    require_captions(said)
    if missing := [key for key in keys if key not in vectors]:
        raise UserError(f"{len(missing):,} pictures to judge captions by are missing, the first is {missing[0]}")
    there = [references.get(key, ()) for key in keys]
    found = embedder.judge(np.stack([vectors[key] for key in keys]), said, there if all(there) else None)
    for name, values in found.items():
        scores.corpus[name], scores.per_image[name] = float(values.mean()), values
        scores.resamplable[name] = mean_of(values)
