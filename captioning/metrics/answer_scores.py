"""All metrics of answers at once, over all questions and by kind; imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from captioning.errors import UserError
from captioning.metrics.answers import Wups, exact_match, vqa_accuracy
from captioning.metrics.bootstrap import mean_of
from captioning.metrics.scores import Scores
from captioning.metrics.wordnet import WordNet

METRICS = {  # what a user may ask for -> the names reported, in the order of the table
    "vqa": ("VQA",),
    "exact": ("exact",),
    "wups": ("WUPS@0.9", "WUPS@0.0"),
}
Metric = Callable[[str, Sequence[str]], float]


def score_answers(
    truth: Mapping[int | str, Sequence[str]],
    answers: Mapping[int | str, str],
    *,
    metrics: Sequence[str] = ("exact",),
    kinds: Mapping[int | str, tuple[str, str]] | None = None,
    wordnet: WordNet | None = None,
) -> Scores:
    """Scores of questions: one answer against those of people, by question id, in the order of `truth`.

    `kinds` names the type of a question's answer and its kind: corpus values then also have "VQA (yes/no)" and
    "VQA (how many)", the mean over these questions. WUPS and exact match look at the first answer of people, and WUPS
    is left out with a sentence where WordNet is not on this machine. Raises UserError for an unknown metric or a
    question without an answer.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or not metrics:
        wrong = f"there is no metric {unknown[0]!r} of answers" if unknown else "no metric is named"
        raise UserError(f"{wrong}. Choose from {', '.join(METRICS)}.")
    absent = [key for key in truth if key not in answers]
    if absent:
        raise UserError(f"{len(absent):,} of {len(truth):,} questions have no answer, the first is {absent[0]}.")
    if not truth:
        raise UserError("there are no questions whose answers are known: nothing can be scored")
    scores = Scores(tuple(truth), {}, {}, {})
    for name, metric in _metrics(metrics, wordnet, scores.unavailable).items():
        values = np.array([metric(answers[key], truth[key]) for key in truth])
        scores.corpus[name] = float(values.mean())
        scores.per_image[name] = values
        scores.resamplable[name] = mean_of(values)
        for kind, mean in _by_kind(values, [(kinds or {}).get(key, ("", "")) for key in truth]).items():
            scores.corpus[f"{name} ({kind})"] = mean
    return scores


def _metrics(names: Sequence[str], wordnet: WordNet | None, unavailable: dict[str, str]) -> dict[str, Metric]:
    found: dict[str, Metric] = {}
    if "vqa" in names:
        found["VQA"] = vqa_accuracy
    if "exact" in names:
        found["exact"] = lambda answer, people: exact_match(answer, people[0])
    if "wups" in names:
        try:
            nouns = wordnet or WordNet()
        except UserError as error:
            unavailable["wups"] = str(error)
        else:
            for name, threshold in zip(METRICS["wups"], (0.9, 0.0), strict=True):
                wups = Wups(nouns, threshold=threshold)
                found[name] = partial(_first_person, wups)
    if not found:
        raise UserError(next(iter(unavailable.values())))
    return found


def _by_kind(values: np.ndarray, kinds: Sequence[tuple[str, str]]) -> dict[str, float]:
    """The mean for each type of answer, then for each kind of question, the most frequent first."""
    means: dict[str, float] = {}
    for place in (0, 1):
        named = np.array([kind[place] for kind in kinds])
        for kind, _ in sorted(zip(*np.unique(named, return_counts=True), strict=True), key=lambda one: -one[1]):
            if kind:
                means[str(kind)] = float(values[named == kind].mean())
    return means


def _first_person(wups: Wups, answer: str, people: Sequence[str]) -> float:
    return wups(answer, people[0])
