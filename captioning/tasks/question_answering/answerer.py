"""A finished model that answers: pictures and questions in, answers out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from captioning.data.defects import says_something
from captioning.errors import UserError
from captioning.memory import VisualMemory
from captioning.runtime.option_checks import require_least
from captioning.runtime.prefetch import default_workers, read_ahead
from captioning.tasks.predictor import Predictor, ReadInput

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
        ((_, made),) = self.stream([(image, asked)], top=top, workers=0)
        if isinstance(made, UserError):
            raise made
        return made[0] if isinstance(questions, str) else made

    def stream(
        self,
        asked: Iterable[tuple[Any, Sequence[str]]],
        *,
        top: int = 1,
        batch_size: int = 16,
        workers: int | None = None,
    ) -> Iterator[tuple[Any, list[Answer] | UserError]]:
        """(picture, the answers to its questions) of pictures with questions each, in order and in constant memory.

        A picture that cannot be read comes with the error instead. `workers` threads read one batch while the model is
        busy with the last (None: as many as there are cores, at most 8). Raises UserError for what is no question.
        """
        require_least(1, top=top, batch_size=batch_size)
        workers = default_workers() if workers is None else workers
        require_least(0, workers=workers)
        return self._answers_to(read_ahead(asked, self._look, batch_size=batch_size, workers=workers), top)

    def _look(self, one: tuple[Any, Sequence[str]]) -> ReadInput | UserError:
        check_questions(one[1])
        return self.read(one[0])

    def _answers_to(self, batches: Iterable, top: int) -> Iterator[tuple[Any, list[Answer] | UserError]]:
        for batch in batches:
            good = [(seen, questions) for (_, questions), seen in batch if not isinstance(seen, UserError)]
            answers: dict[int, list[Answer]] = {}
            for places, memory in self.memories([seen for seen, _ in good]):
                made = self._answer(memory.float(), [good[i][1] for i in places], top)
                answers |= dict(zip(places, made, strict=True))
            place = iter(range(len(good)))
            for (image, _), seen in batch:
                yield image, seen if isinstance(seen, UserError) else answers[next(place)]
            del batch, good, image, seen  # or they are held while the next batch is made

    def _answer(self, memory: VisualMemory, questions: Sequence[Sequence[str]], top: int) -> list[list[Answer]]:
        """The answers to each picture's questions, with where was looked among its own tokens."""
        with torch.inference_mode():
            answers, attention = self.task.answer(memory, questions, top=top)
        made = []
        for b, asked in enumerate(questions):
            real = memory.mask[b].cpu()
            boxes = None if memory.boxes is None else memory.boxes[b].float().cpu()[real].numpy()
            looked = [None] * len(asked) if attention is None else attention[b].float().cpu()[:, real].numpy()
            made.append(
                [
                    Answer(question, *ranked[0], tuple(ranked[1:]), looked[r], boxes)
                    for r, (question, ranked) in enumerate(zip(asked, answers[b], strict=True))
                ]
            )
        return made


def check_questions(questions: Sequence[str]) -> None:
    """Raises UserError where nothing is asked, or what is asked is no question."""
    if not questions:
        raise UserError("no question is asked. Give one behind the photo, in quotes")
    for one in questions:
        if not isinstance(one, str) or not says_something(one):
            raise UserError(f"{one!r} is no question: it has no word in it")
        if len(one) > LONGEST:
            raise UserError(f"a question of {len(one):,} letters is longer than {LONGEST:,}: ask shorter")
