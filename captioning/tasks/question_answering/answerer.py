"""A finished model that answers: pictures and questions in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from captioning.data.defects import says_something
from captioning.errors import UserError
from captioning.tasks.predictor import Predictor

LONGEST = 10_000  # letters of a question, far beyond what any model reads


@dataclass(frozen=True)
class Answer:
    """What a model answers to one question about one picture. Prints as its text."""

    question: str
    text: str
    probability: float
    others: tuple[tuple[str, float], ...] = ()  # further answers and their probabilities, likeliest first
    attention: np.ndarray | None = field(default=None, repr=False, compare=False)  # (N,) where it looked; sums to one
    boxes: np.ndarray | None = field(default=None, repr=False, compare=False)  # (N, 4) where the tokens are regions

    def __str__(self) -> str:
        return self.text


class Answerer(Predictor):
    """Encoder and question answering on one device.

    >>> captioning.load("runs/mine/model").answer("dog.jpg", "What colour is the dog?").text
    """

    def answer(self, image: Any, questions: str | Sequence[str], *, top: int = 1) -> Any:
        """The answer to a question about a picture, or a list of them for a list of questions.

        The picture is read and looked at once, whatever the number of questions. `top` answers are kept of each. Raises
        UserError naming the picture that cannot be read, or a question without a word.
        """
        asked = [questions] if isinstance(questions, str) else list(questions)
        check_questions(asked)
        if top < 1:
            raise UserError(f"top={top}: it is 1 or more")
        found = self.read(image)
        if isinstance(found, UserError):
            raise found
        ((_, memory),) = self.memories([found])
        with torch.inference_mode():
            answers, attention = self.task.answer(memory.float(), [asked], top=top)
        real = memory.mask[0].cpu()
        boxes = None if memory.boxes is None else memory.boxes[0].float().cpu()[real].numpy()
        made = [
            Answer(
                question,
                *ranked[0],
                tuple(ranked[1:]),
                None if attention is None else attention[0, r].float().cpu()[real].numpy(),
                boxes,
            )
            for r, (question, ranked) in enumerate(zip(asked, answers[0], strict=True))
        ]
        return made[0] if isinstance(questions, str) else made


def check_questions(questions: Sequence[str]) -> None:
    """Raises UserError where nothing is asked, or what is asked is no question."""
    if not questions:
        raise UserError("no question is asked. Give one behind the photo, in quotes")
    for one in questions:
        if not isinstance(one, str) or not says_something(one):
            raise UserError(f"{one!r} is no question: it has no word in it")
        if len(one) > LONGEST:
            raise UserError(f"a question of {len(one):,} letters is longer than {LONGEST:,}: ask shorter")
