"""What guessing reaches without a look: the most frequent training answer of all, of a kind, or of a question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence

from captioning.data.questions import Question, all_questions
from captioning.example import Example
from captioning.metrics.answer_scores import score_answers
from captioning.metrics.answers import normalized

KEYS: tuple[tuple[str, Callable[[Question], Hashable]], ...] = (  # each guess falls back on the ones before it
    ("most frequent answer", lambda one: ""),
    ("most frequent answer to each kind of question", lambda one: one.kind),
    ("most frequent answer to each question", lambda one: one.text.lower()),
)


def guesses(train: Iterable[Example], test: Iterable[Example]) -> dict[str, dict[int | str, str]]:
    """What each of KEYS would answer to the questions of `test`, by their ids; nothing of `train` is a picture.

    The last is what a language-only model that has learned `train` perfectly would say ("per Q-type prior" and
    "question only" of VQA, Antol et al. 2015, arXiv:1505.00468). Of equally frequent answers the first in the alphabet.
    """
    counts: list[dict[Hashable, Counter[str]]] = [{} for _ in KEYS]
    for one in all_questions(train):
        if one.answers:
            answer = normalized(one.answer) if len(one.answers) > 1 else one.answer
            for count, (_, key) in zip(counts, KEYS, strict=True):
                count.setdefault(key(one), Counter())[answer] += 1
    best = [{key: min(count, key=lambda one: (-count[one], one)) for key, count in them.items()} for them in counts]
    found: dict[str, dict[int | str, str]] = {name: {} for name, _ in KEYS}
    for one in all_questions(test):
        guess = ""
        for those, (name, key) in zip(best, KEYS, strict=True):
            guess = found[name][one.id] = those.get(key(one), guess)
    return found


def blind_scores(train: Sequence[Example], test: Sequence[Example]) -> dict[str, float]:
    """The score of each of `guesses` on `test`, from 0 to 1: VQA accuracy where several people answered, else exact.

    Empty where no answer of either part is known.
    """
    truth = {one.id: one.answers for one in all_questions(test) if one.answers}
    if not truth or not any(one.answers for one in all_questions(train)):
        return {}
    metric = "vqa" if max(map(len, truth.values())) > 1 else "exact"
    return {
        name: next(iter(score_answers(truth, answers, metrics=(metric,)).corpus.values()))
        for name, answers in guesses(train, test).items()
    }
