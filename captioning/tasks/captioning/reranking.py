"""The captions of a search ordered once more, by how well an embedder finds that each suits its picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from captioning.errors import UserError
from captioning.runtime.option_checks import require_number, require_whole
from captioning.tasks.captioning.caption import Caption
from captioning.tasks.captioning.options import RERANKING

if TYPE_CHECKING:
    from captioning.tasks.embedding.embedder import Embedder

WEIGHT, CANDIDATES = 0.1, 10


@dataclass(frozen=True)
class Reranking:
    """Of a picture's captions the best `most` come first: by their score of the search, and `weight` times their
    cosine with the picture in the embedder's log-odds."""

    embedder: Embedder
    weight: float = WEIGHT
    most: int = 1

    def best(self, vectors: Sequence[NDArray], captions: Sequence[Sequence[Caption]]) -> list[list[Caption]]:
        """The best captions of each picture, best first, of pictures whose vectors (W,) are known.

        `score` becomes what they are ordered by; `confidence` stays what the search's score said of the caption.
        """
        texts = [caption.text for those in captions for caption in those]
        found = iter(self.embedder.embed_text(texts)) if texts else iter(())
        ordered = []
        for vector, those in zip(vectors, captions, strict=True):
            said = np.stack([next(found) for _ in those])
            scores = self.embedder.order(vector, said, [one.score for one in those], self.weight)
            order = np.argsort(-scores, kind="stable")[: self.most].tolist()
            ordered.append([replace(those[i], score=float(scores[i])) for i in order])
        return ordered


def reranking(
    options: Mapping[str, Any], open_model: Callable[[str], Any] | None
) -> tuple[dict[str, Any], Reranking | None]:
    """The options of a search, and how its captions are ranked anew. Then it finds `candidates` of them, or as many as
    are asked for.

    `rerank` is an `Embedder`, or a name that `open_model` opens. Raises UserError for another kind of model, a number
    out of range, or a weight without an embedder.
    """
    rest = {name: value for name, value in options.items() if name not in RERANKING}
    given = {name: options[name] for name in RERANKING if options.get(name) is not None}
    model = given.pop("rerank", None)
    if model is None:
        if given:
            raise UserError(f"generation.{next(iter(given))} is about captions ranked anew: generation.rerank=MODEL")
        return rest, None
    weight, candidates = given.get("rerank_weight", WEIGHT), given.get("candidates", CANDIDATES)
    require_number("generation.", rerank_weight=weight)
    require_whole("generation.", candidates=candidates)
    if weight < 0 or candidates < 1:
        raise UserError("generation.rerank_weight is 0 or above, generation.candidates 1 or more")
    from captioning.tasks.embedding.embedder import as_embedder

    name = model
    if isinstance(model, (str, os.PathLike)):
        if open_model is None:
            raise UserError("rerank: give an embedder itself, as captioning.load(NAME) returns it")
        model = open_model(os.fspath(model))
    embedder = as_embedder(model, f"generation.rerank={name}")
    asked = {name: rest[name] for name in ("num_captions", "num_samples") if rest.get(name) is not None}
    require_whole("generation.", **asked)
    most = max(asked.values(), default=1)
    rest["num_samples" if "num_samples" in asked else "num_captions"] = max(candidates, most)
    return rest, Reranking(embedder, float(weight), most)


def reranked_split(
    captioner: Any,
    search: Callable,
    ranking: Reranking,
    source: Any,
    split: str,
    *,
    vectors: Mapping[Any, NDArray],
    **options: Any,
) -> tuple[list[Any], dict[Any, Caption]]:
    """The examples of a split and the best caption of each, by a search of the model's and then by the embedder.

    `vectors`: those of its pictures, by id. `options` are those of `predict_split`.
    """
    task = captioner.task

    def candidates(memory: Any, targets: Any) -> list[list[Caption]]:
        return task.describe(memory, search)

    examples, found = captioner.predict_split(source, split, predict=candidates, **options)
    best = ranking.best([vectors[key] for key in found], list(found.values()))
    return examples, {key: captions[0] for key, captions in zip(found, best, strict=True)}
