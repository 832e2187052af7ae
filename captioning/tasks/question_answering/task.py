"""What both forms of question answering share: questions as rows, what is learned of them, how answers are judged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captioning.data.questions import Question, all_questions
from captioning.errors import UserError
from captioning.example import Example
from captioning.metrics.answer_scores import METRICS, score_answers
from captioning.metrics.answers import normalized, soft_targets
from captioning.metrics.scores import Scores
from captioning.tasks.base import Task
from captioning.text.tokenizer import tokenize
from captioning.text.vocabulary import EOS, PAD, UNK, Vocabulary

SHOWN = 5  # unknown words that a remark names
MAX_WORDS = 100  # of a question; what comes after is not read


@dataclass(frozen=True)
class Asked:
    """The questions of B images as numbers, and where they are learned from, what is to be said."""

    words: Tensor  # (B, R, T) padded with PAD
    counts: tuple[int, ...]  # questions of each image
    answers: Tensor | None = None  # whatever the form of the task learns from

    def to(self, *args, **kwargs) -> Asked:
        """Moved as `Tensor.to` moves tensors."""
        answers = None if self.answers is None else self.answers.to(*args, **kwargs)
        return replace(self, words=self.words.to(*args, **kwargs), answers=answers)


class QuestionAnswering(Task):
    """Rows are the questions about an image. A subclass says how they are answered.

    Args:
        judged_by: the metric by which the best epoch is chosen: exact, or vqa where ten people answered.
        questions_per_image: rows of each image in training; of more questions others are taken in each epoch. None for
            all.
        vocabulary: `min_count` and `max_words` of the words that are taken from the training questions.
        seed: what the choice of rows depends on, besides epoch and image.
    """

    needs = ("questions",)
    things = "answers"
    usage = "answer PHOTO QUESTION"

    def __init__(
        self,
        *,
        judged_by: str = "exact",
        questions_per_image: int | None = None,
        vocabulary: Mapping[str, Any] | None = None,
        seed: int = 0,
    ):
        super().__init__()
        if judged_by not in ("exact", "vqa"):
            raise UserError(f"task.judged_by={judged_by}: it is exact or vqa")
        if questions_per_image is not None and questions_per_image < 1:
            raise UserError(f"task.questions_per_image={questions_per_image}: it is 1 or more, or null")
        self.judged_by, self.questions_per_image, self.seed = judged_by, questions_per_image, seed
        self.metrics = (judged_by,)
        self.columns = (METRICS[judged_by][0],)
        self.monitor = (f"val/{METRICS[judged_by][0]}", "max")
        self.vocabulary_options = {"min_count": 2, "max_words": 30, **(vocabulary or {})}
        if not 1 <= self.vocabulary_options["max_words"] <= MAX_WORDS:
            raise UserError(f"task.vocabulary.max_words: it is 1 to {MAX_WORDS}")
        self.vocabulary: Vocabulary | None = None

    def rows(self, example: Example, epoch: int) -> list[Question]:
        """The questions of an image that are learned from in an epoch; all of them, where nothing is learned."""
        questions = list(getattr(example, "questions", ()))
        most = self.questions_per_image
        if not self.training or most is None or len(questions) <= most:
            return questions
        return random.Random(f"{self.seed} {epoch} {example.id}").sample(questions, most)

    def encode(self, question: str) -> list[int]:
        """The numbers of a question's words, at least one and at most `max_words`."""
        ids = [i for i in self.vocabulary.encode(question) if i != EOS]
        return ids or [UNK]

    def ask(self, questions: Sequence[Sequence[str]]) -> Asked:
        """The questions of B images, with nothing to be learned."""
        return Asked(padded([[self.encode(one) for one in those] for those in questions]), tuple(map(len, questions)))

    def not_read(self, question: str) -> str:
        """What of a question this model does not read, as a sentence: words after the last that it reads, words that
        it does not know; "" where there is none."""
        words = tokenize(question)
        read = words[: self.vocabulary.max_words]
        unknown = list(dict.fromkeys(word for word in read if self.vocabulary.ids.get(word, UNK) == UNK))
        parts = [f"only {len(read)} of {len(words):,} words are read"] if len(read) < len(words) else []
        if unknown:
            further = f" and {len(unknown) - SHOWN:,} more" if len(unknown) > SHOWN else ""
            parts.append(f"the model does not know {', '.join(unknown[:SHOWN])}{further}")
        return "; ".join(parts)

    def score(
        self, predictions: Mapping[int | str, list[str]], examples: Sequence[Example], *, metrics: Sequence[str] = ()
    ) -> Scores:
        """VQA accuracy, exact match and WUPS; where `metrics` are named, also by kind of question and of answer."""
        answers = {
            question.id: answer
            for example in examples
            for question, answer in zip(getattr(example, "questions", ()), predictions[example.id], strict=True)
        }
        questions = [one for one in all_questions(examples) if one.answers]
        return score_answers(
            {one.id: one.answers for one in questions},
            answers,
            metrics=tuple(metrics or self.metrics),
            kinds={one.id: (one.answer_type, one.kind) for one in questions} if metrics else {},
        )

    def usual_metrics(self, source: Any) -> tuple[str, ...]:
        return tuple(name for name in source.metrics if name in METRICS) or self.metrics

    def tally(self, examples: Sequence[Example]) -> str:
        return f"{sum(1 for _ in all_questions(examples)):,} asked"

    def results(self, predictions: Mapping[int | str, list[str]]) -> list[dict[str, Any]]:
        """Images with the answers to their questions, in the order in which they are asked."""
        return [{"image_id": key, "answers": answers} for key, answers in predictions.items()]

    def result_file(
        self, predictions: Mapping[int | str, list[str]], examples: Sequence[Example]
    ) -> list[dict[str, Any]]:
        """The official result file: an entry a question, with its id and the answer."""
        return [
            {"question_id": question.id, "answer": answer}
            for example in examples
            for question, answer in zip(getattr(example, "questions", ()), predictions[example.id], strict=True)
        ]

    def fitted_words(self, texts: Sequence[str]) -> Vocabulary:
        """Words of the training questions. Raises UserError where there are none."""
        return Vocabulary.build(texts, **self.vocabulary_options)

    def texts(self) -> dict[str, str]:
        return {"vocabulary.json": self.vocabulary.to_json()}

    def read_texts(self, texts: Mapping[str, str], where: str) -> None:
        for name in self.files:
            if name not in texts:
                raise UserError(f"{where}/{name} is missing: the model folder is incomplete")
        self.vocabulary = Vocabulary.from_json(texts["vocabulary.json"], f"{where}/vocabulary.json")
        if not 1 <= self.vocabulary.max_words <= MAX_WORDS:
            raise UserError(f"{where}/vocabulary.json: max_words is not within 1 to {MAX_WORDS}")

    def report(
        self,
        path: Path,
        predictor: Any,
        examples: Sequence[Example],
        source: Any,
        predictions: Mapping[int | str, list[str]],
        scores: Scores,
        *,
        title: str,
    ) -> Path:
        """The worst kinds of questions, what is taken for what, and examples with where the model looked."""
        from captioning.tasks.question_answering.evaluation import write_answers

        return write_answers(path, predictor, examples, source, predictions, scores, title=title)

    def predictor(self, bundle: Any, device: str | torch.device | None = None) -> Any:
        """An `Answerer`."""
        from captioning.tasks.question_answering.answerer import Answerer

        return Answerer(bundle, device=device)


def padded(rows: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """B images' questions as numbers -> (B, R, T), padded with PAD to the most questions and the most words."""
    most = max((len(image) for image in rows), default=0)
    longest = max((len(one) for image in rows for one in image), default=1)
    words = torch.full((len(rows), most, longest), PAD)
    for b, image in enumerate(rows):
        for r, one in enumerate(image):
            words[b, r, : len(one)] = torch.tensor(one)
    return words


def canonical(question: Question) -> str:
    """The one answer of a question as answer lists have it: normalised where several people answered."""
    return normalized(question.answer) if len(question.answers) > 1 else question.answer


def earned(question: Question) -> dict[str, float]:
    """Answers to a question with what saying them earns, from 0 to 1."""
    if len(question.answers) > 1:
        return soft_targets(question.answers)
    return {question.answer: 1.0} if question.answers else {}


def frequent_answers(examples: Sequence[Example], min_count: int) -> list[str]:
    """Answers that `min_count` training questions have, the most frequent first. Raises UserError for none."""
    counts = Counter(canonical(one) for one in all_questions(examples) if one.answers)
    kept = sorted((one for one in counts if counts[one] >= min_count), key=lambda one: (-counts[one], one))
    if not kept:
        raise UserError(f"no answer occurs {min_count} times in the training questions: lower task.min_count")
    return kept
