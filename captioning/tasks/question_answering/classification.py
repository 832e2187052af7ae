"""Question answering as classification over the frequent answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from captioning.data.questions import all_questions
from captioning.encoders.base import Encoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.heads.answers import AnswerHead
from captioning.memory import VisualMemory
from captioning.tasks.base import Build, Parts
from captioning.tasks.question_answering.task import Asked, QuestionAnswering, earned, frequent_answers, padded


class AnswerClassification(QuestionAnswering):
    """An `AnswerHead` says how likely each answer of a list is; the list is that of the frequent training answers.

    Args:
        head: configuration of an `AnswerHead`, without the sizes that follow from encoder, words and answers.
        objective: "sigmoid" learns for each answer what saying it earns, as Teney et al. 2018 do; "softmax" learns the
            answers as one distribution.
        min_count: training questions that an answer on the list has at least.
    """

    files = ("vocabulary.json", "answers.json")

    def __init__(
        self,
        *,
        head: Mapping[str, Any],
        objective: Literal["sigmoid", "softmax"] = "sigmoid",
        label_smoothing: float = 0.0,
        min_count: int = 1,
        **options: Any,
    ):
        super().__init__(**options)
        if objective not in ("sigmoid", "softmax"):
            raise UserError(f"task.objective={objective}: it is sigmoid or softmax")
        if not 0 <= label_smoothing < 1 or (label_smoothing and objective == "sigmoid"):
            raise UserError(f"task.label_smoothing={label_smoothing}: from 0 to under 1, with task.objective=softmax")
        self.head_config, self.objective, self.min_count = dict(head), objective, min_count
        self.label_smoothing = label_smoothing
        self.answers: list[str] = []
        self.number: dict[str, int] = {}
        self.head: AnswerHead | None = None
        self.asked: list[list[int]] = []  # from fit to build

    def fit(self, examples: Sequence[Example]) -> None:
        self.vocabulary = self.fitted_words([one.text for one in all_questions(examples)])
        self._list(frequent_answers(examples, self.min_count))
        self.asked = [self.encode(one.text) for one in all_questions(examples)]

    def _list(self, answers: list[str]) -> None:
        self.answers, self.number = answers, {answer: i for i, answer in enumerate(answers)}

    def build(self, encoder: Encoder, instantiate: Build) -> None:
        sizes = {"visual_width": encoder.width, "vocabulary_size": len(self.vocabulary), "answers": len(self.answers)}
        self.head = instantiate(self.head_config, kind=AnswerHead, **sizes)
        if self.asked:
            self.head.fit(self.asked)
            self.asked = []

    def targets(self, examples: Sequence[Example], epoch: int) -> Asked:
        """-> questions, and what each answer of the list would earn, (B, R, A); -1 for rows that are padding."""
        chosen = [self.rows(example, epoch) for example in examples]
        words = padded([[self.encode(one.text) for one in those] for those in chosen])
        answers = torch.zeros(*words.shape[:2], len(self.answers))
        for b, those in enumerate(chosen):
            answers[b, len(those) :] = -1
            for r, one in enumerate(those):
                for answer, value in earned(one).items():
                    if answer in self.number:
                        answers[b, r, self.number[answer]] = value
        return Asked(words, tuple(map(len, chosen)), answers)

    def loss(self, memory: VisualMemory, targets: Asked, ids: Sequence[int | str]) -> tuple[Tensor, Parts]:
        logits, answers = self._rows(memory, targets)
        loss = self._loss(logits, answers)
        right = answers.gather(1, logits.argmax(-1, keepdim=True)).mean()
        return loss, {"loss": loss, "accuracy": 100 * right}

    def validation_loss(
        self, memory: VisualMemory, targets: Asked, ids: Sequence[int | str]
    ) -> tuple[float, int] | None:
        logits, answers = self._rows(memory, targets)
        return float(self._loss(logits, answers)), len(logits)

    def _rows(self, memory: VisualMemory, targets: Asked) -> tuple[Tensor, Tensor]:
        """Logits and what answers earn of the real rows, (rows, A) each."""
        real = targets.answers[..., 0] >= 0
        logits, _ = self.head(self.head.prepare(memory), targets.words)
        return logits[real], targets.answers[real]

    def _loss(self, logits: Tensor, answers: Tensor) -> Tensor:
        if self.objective == "sigmoid":  # summed over answers: their mean would shrink with the list
            return F.binary_cross_entropy_with_logits(logits, answers, reduction="sum") / len(logits)
        known = answers.sum(1) > 0  # a question whose answer is not on the list teaches nothing here
        wanted = answers[known] / answers[known].sum(1, keepdim=True)
        likely = logits[known].log_softmax(-1)
        loss = (wanted * likely).sum()
        if self.label_smoothing:
            loss = (1 - self.label_smoothing) * loss + self.label_smoothing * likely.mean(-1).sum()
        return -loss / max(1, len(logits))

    def likely(self, memory: VisualMemory, targets: Asked) -> tuple[Tensor, Tensor]:
        """-> how likely each answer is (B, R, A), and where the head looked (B, R, N)."""
        logits, attention = self.head(self.head.prepare(memory), targets.words)
        return (logits.sigmoid() if self.objective == "sigmoid" else logits.softmax(-1)), attention

    def predict(self, memory: VisualMemory, targets: Asked) -> list[list[str]]:
        """The likeliest answer to each question of each image."""
        logits, _ = self.head(self.head.prepare(memory), targets.words)
        best = logits.argmax(-1).tolist()
        return [[self.answers[i] for i in row[:count]] for row, count in zip(best, targets.counts, strict=True)]

    def answer(
        self, memory: VisualMemory, questions: Sequence[Sequence[str]], *, top: int = 1
    ) -> tuple[list[list[list[tuple[str, float]]]], Tensor]:
        """(answer, probability), likeliest first, `top` for each question of each image; and where the head looked."""
        likely, attention = self.likely(memory, self.ask(questions).to(memory.tokens.device))
        values, places = likely.topk(min(top, len(self.answers)), -1)
        found = [
            [
                [(self.answers[i], value) for i, value in zip(row_places, row_values, strict=True)]
                for row_places, row_values in list(zip(places[b].tolist(), values[b].tolist(), strict=True))[
                    : len(those)
                ]
            ]
            for b, those in enumerate(questions)
        ]
        return found, attention

    def check(self, encoder: Encoder) -> None:
        memory = VisualMemory.blank(encoder.width)
        with torch.inference_mode():
            self.head(self.head.prepare(memory), torch.full((1, 1, 1), 3))

    def texts(self) -> dict[str, str]:
        listed = json.dumps({"answers": self.answers}, ensure_ascii=False, indent=0) + "\n"
        return {**super().texts(), "answers.json": listed}

    def read_texts(self, texts: Mapping[str, str], where: str) -> None:
        super().read_texts(texts, where)
        place = f"{where}/answers.json"
        try:
            answers = json.loads(texts["answers.json"])["answers"]
            fits = isinstance(answers, list) and all(isinstance(one, str) for one in answers)
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{place} is no list of answers: {error}") from None
        if not fits or not answers or len(set(answers)) != len(answers):
            raise UserError(f"{place} is no list of different answers")
        self._list(answers)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "head": self.head_config, "objective": self.objective, "judged_by": self.judged_by}

    def summary(self) -> str:
        return f"{len(self.answers):,} answers, {len(self.vocabulary):,} words; {type(self.head).__name__}"
