"""What captions can be asked for, by name and with its type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

RERANKING = ("rerank", "rerank_weight", "candidates")  # which are none of the search


class GenerationOptions(TypedDict, total=False):
    """Options of generation, for `Captioner.caption`, `stream` and `score`. None that is left out is changed."""

    beam_size: int  # beams; 1 is greedy
    length_normalisation: Literal["none", "average", "gnmt"]
    alpha: float  # of gnmt
    finished: Literal["keep", "release", "aside"]  # what becomes of finished captions in a beam

    temperature: float  # of drawing, which num_samples asks for
    top_k: int
    top_p: float
    seed: int | None

    min_words: int
    max_words: int
    block_ngrams: int  # 3: no three words twice
    block_repeats: bool
    forbidden_words: Sequence[str]
    forbidden_endings: Sequence[str]
    forced_prefix: Sequence[str] | str  # the words that a caption begins with
    forced_words: Sequence[str | Sequence[str]]  # words or phrases to contain; a list inside holds alternatives
    constraints: Sequence[Any]

    groups: int  # of a diverse beam search
    diversity: float

    weight: float  # of agreement, for a model that chooses by it (generation=consensus)
    concept_weight: float
    familiar: float | None
    concept_gap: float | None
    unsupported: float
    naming: float
    familiar_unsupported: float
    familiar_naming: float
    insist: float | None
    together: bool

    rerank: Any  # an Embedder, or the name of one, by which the best of some captions come first
    rerank_weight: float  # of a point of its log-odds, beside the score of the search
    candidates: int  # captions that are ranked
