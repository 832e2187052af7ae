"""Captions of a data set judged by an embedder: CLIPScore and RefCLIPScore (Hessel et al. 2021, arXiv:2104.08718)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example
from captioning.metrics.clip_score import PREFIX, clip_scores, ref_clip_scores
from captioning.tasks.embedding.embedder import Embedder
from captioning.tasks.load import load


def load_judge(name: str, device: str | None = None, allow: Sequence[str] = ()) -> Embedder:
    """The embedder of that name or folder. Raises UserError for a model of another kind."""
    judge = load(name, device=device, allow=allow)
    if not isinstance(judge, Embedder):
        raise UserError(f"embedder={name} does not compare photos with words: embedder=flickr8k_embedding does")
    return judge


def judged(
    embedder: Embedder, source: Source, examples: Sequence[Example], predictions: Mapping[int | str, Any]
) -> dict[str, float]:
    """CLIPScore of one caption an example, and RefCLIPScore where all examples have captions of people.

    Means over examples, by this embedder's vectors: they compare with figures of the same one only. Raises UserError
    where predictions are no captions, or naming the first picture that cannot be read.
    """
    captions = [predictions[example.id] for example in examples]
    if not captions or not all(isinstance(caption, str) for caption in captions):
        raise UserError("embedder= judges captions, and this model predicts none")
    seen = []
    for _, vector in embedder.stream(source.image(example) for example in examples):
        if isinstance(vector, UserError):
            raise vector
        seen.append(vector)
    images, said = np.stack(seen), embedder.embed_text([PREFIX + caption for caption in captions])
    found = {"CLIPScore": float(clip_scores(images, said).mean())}
    if all(example.captions for example in examples):
        texts = embedder.embed_text([PREFIX + text for example in examples for text in example.captions])
        parts = np.split(texts, np.cumsum([len(example.captions) for example in examples])[:-1])
        found["RefCLIPScore"] = float(ref_clip_scores(images, said, parts).mean())
    return found
