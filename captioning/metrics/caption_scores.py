"""All metrics of a set of captions at once: the one function that training, evaluation and `captioning score` call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from captioning.errors import UserError
from captioning.metrics.bleu import bleu_of, bleu_statistics
from captioning.metrics.bootstrap import Resamplable, mean_of
from captioning.metrics.chair import chair_counts, chair_sentences, main_object_counts, objects_there, share_of
from captioning.metrics.cider import cider
from captioning.metrics.java import MetricUnavailable
from captioning.metrics.meteor import meteor_of, resident_meteor
from captioning.metrics.ngrams import Corpus, corpus_of
from captioning.metrics.predictions import common_images
from captioning.metrics.references import ImageId
from captioning.metrics.remarks import remarks
from captioning.metrics.rouge import rouge_l
from captioning.metrics.scores import Scores
from captioning.metrics.spice import Spice
from captioning.text.tokenizer import tokenize_all

log = logging.getLogger("captioning")

DEFAULT_METRICS = ("bleu", "rouge", "cider")  # those that need no Java
_BLEU = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")
_REPORTED = {  # what a user may ask for -> the names reported, in the order of the table
    "bleu": _BLEU,
    **{name.lower(): (name,) for name in _BLEU},
    "meteor": ("METEOR",),
    "rouge": ("ROUGE-L",),
    "rouge-l": ("ROUGE-L",),
    "cider": ("CIDEr",),
    "cider-d": ("CIDEr",),
    "spice": ("SPICE",),
    "chair": ("CHAIRi", "CHAIRs"),
    "main_object": ("main object",),
}
METRICS = frozenset(_REPORTED)
OF_PICTURES = ("CLIPScore", "RefCLIPScore")  # which an embedder adds (`captioning.tasks.embedding.judging`)
ORDER = (*_BLEU, "METEOR", "ROUGE-L", "CIDEr", "SPICE", "CHAIRi", "CHAIRs", "main object", *OF_PICTURES)
LOWER_IS_BETTER = ("CHAIRi", "CHAIRs")

Tokens = list[list[str]]


def metric_names(metrics: Sequence[str]) -> list[str]:
    """The names that "bleu", "rouge-l", ... stand for, in the order of the table. Raises UserError for another one."""
    asked = [metric.strip().lower() for metric in metrics if metric.strip()]
    if of_pictures := [metric for metric in asked if metric in map(str.lower, OF_PICTURES)]:
        raise UserError(f"{of_pictures[0]} is by an embedder: captioning score --embedder MODEL --images FOLDER")
    unknown = [metric for metric in asked if metric not in _REPORTED]
    if unknown or not asked:
        wrong = f"there is no metric {unknown[0]!r}" if unknown else "no metric is named"
        raise UserError(f"{wrong}. Choose from {', '.join(_REPORTED)}.")
    wanted = {name for metric in asked for name in _REPORTED[metric]}
    return [name for name in ORDER if name in wanted]


def score_captions(
    references: Mapping[ImageId, Sequence[str]],
    hypotheses: Mapping[ImageId, str],
    metrics: Sequence[str] = DEFAULT_METRICS,
    *,
    labels: Mapping[ImageId, Collection[str]] | None = None,
    main: Mapping[ImageId, str | None] | None = None,
) -> Scores:
    """Score raw captions, one hypothesis for each image, against any number of references each.

    Both are tokenized here as the official evaluation does it, in the order of `references`. `labels` are the objects
    that annotations say are there, by COCO's names: to CHAIR they are there beside those of the references. `main`
    is the one that "main_object" asks for (`captioning.metrics.chair.main_object`), None of an image without. A metric
    whose Java program cannot run is left out with a warning. Raises UserError where an image is on one side only, has
    no reference, or a metric's name is unknown.
    """
    names = metric_names(metrics)
    images = common_images(references, hypotheses)
    bare = [image for image in images if not references[image]]
    if bare:
        raise UserError(f"{len(bare):,} images have no reference caption, the first is {bare[0]}.")
    return score_tokens(images, *tokenized(images, references, hypotheses), names, labels, main)


def tokenized(
    images: Sequence[ImageId], references: Mapping[ImageId, Sequence[str]], hypotheses: Mapping[ImageId, str]
) -> tuple[list[Tokens], Tokens]:
    """The words of the references and of the hypotheses of some images, in their order."""
    words = iter(tokenize_all([caption for image in images for caption in references[image]]))
    grouped = [list(islice(words, len(references[image]))) for image in images]
    return grouped, tokenize_all([hypotheses[image] for image in images])


def score_tokens(
    images: Sequence[ImageId],
    references: list[Tokens],
    hypotheses: Tokens,
    names: Sequence[str],
    labels: Mapping[ImageId, Collection[str]] | None = None,
    main: Mapping[ImageId, str | None] | None = None,
) -> Scores:
    """`score_captions` for captions that are words already; `names` as `metric_names` gives them."""
    corpus = corpus_of(references, hypotheses)
    scores = Scores(tuple(images), {}, {}, {})
    if set(_BLEU) & set(names):
        _add_bleu(scores, corpus)
    if "METEOR" in names:
        _try(scores, "METEOR", lambda: _add_meteor(scores, references, hypotheses))
    if "ROUGE-L" in names:
        _add_mean(scores, "ROUGE-L", rouge_l(corpus))
    if "CIDEr" in names:
        _add_mean(scores, "CIDEr", cider(corpus))
    if "SPICE" in names:
        _try(scores, "SPICE", lambda: _add_mean(scores, "SPICE", Spice().score(*_lines(references, hypotheses))))
    if {"CHAIRi", "CHAIRs"} & set(names):
        known = [(labels or {}).get(image, ()) for image in images]
        _add_chair(scores, chair_counts(hypotheses, list(map(objects_there, references, known))))
    if "main object" in names:
        wanted = [(main or {}).get(image) for image in images]
        if not any(wanted):
            raise UserError("main_object needs boxes of things: captioning evaluate data=coco data.boxes=true")
        _add_share(scores, "main object", main_object_counts(hypotheses, wanted))
    for values in (scores.corpus, scores.per_image, scores.resamplable):
        for name in set(values) - set(names):
            del values[name]
    scores.remarks.extend(remarks(scores.corpus, references, hypotheses))
    return scores


def _add_mean(scores: Scores, name: str, values: NDArray[np.float64]) -> None:
    scores.corpus[name] = float(values.mean())
    scores.per_image[name] = values
    scores.resamplable[name] = mean_of(values)


def _add_bleu(scores: Scores, corpus: Corpus) -> None:
    statistics = bleu_statistics(corpus)
    rows = np.column_stack(list(vars(statistics).values()))
    per_image, of_corpus = _bleu_of_rows(rows), _bleu_of_rows(rows.sum(axis=0))
    for index, name in enumerate(_BLEU):
        scores.corpus[name] = float(of_corpus[index])
        scores.per_image[name] = per_image[:, index]
        scores.resamplable[name] = Resamplable(rows, partial(_bleu_of_order, index))


def _bleu_of_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return bleu_of(rows[..., :4], rows[..., 4:8], rows[..., 8], rows[..., 9])


def _bleu_of_order(index: int, sums: NDArray[np.float64], images: int) -> NDArray[np.float64]:
    return _bleu_of_rows(sums)[..., index]


def _add_meteor(scores: Scores, references: list[Tokens], hypotheses: Tokens) -> None:
    result = resident_meteor().score(*_lines(references, hypotheses))
    scores.corpus["METEOR"] = result.corpus
    scores.per_image["METEOR"] = result.per_image
    scores.resamplable["METEOR"] = Resamplable(result.statistics, lambda sums, images: meteor_of(sums))


def _add_chair(scores: Scores, counts: NDArray[np.int64]) -> None:
    _add_share(scores, "CHAIRi", counts)
    _add_mean(scores, "CHAIRs", chair_sentences(counts))


def _add_share(scores: Scores, name: str, counts: NDArray[np.int64]) -> None:
    """Of counts (I, 2) the share of the second among the first."""
    scores.corpus[name] = float(share_of(counts.sum(axis=0)))
    scores.per_image[name] = share_of(counts)
    scores.resamplable[name] = Resamplable(counts.astype(np.float64), lambda sums, images: share_of(sums))


def _lines(references: list[Tokens], hypotheses: Tokens) -> tuple[list[list[str]], list[str]]:
    return [[" ".join(words) for words in those] for those in references], [" ".join(words) for words in hypotheses]


def _try(scores: Scores, name: str, compute: Callable[[], None]) -> None:
    try:
        compute()
    except MetricUnavailable as error:
        scores.unavailable[name] = str(error)
        log.warning("%s", error)
