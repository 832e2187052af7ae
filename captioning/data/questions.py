"""Questions about pictures: what every source of them shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from captioning.data.defects import says_something
from captioning.data.file_source import Photos, split_name
from captioning.errors import UserError
from captioning.example import Example


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a picture, and what each person who was asked answered: nobody, where it is not published.

    `answer` is the one that counts where a single one does. `kind` is the kind of question ("how many"), `answer_type`
    that of its answer ("number"), where the source knows them.
    """

    id: int | str
    text: str
    answers: tuple[str, ...] = ()
    answer: str = ""
    kind: str = ""
    answer_type: str = ""


@dataclass(frozen=True, slots=True)
class QuestionedExample(Example):
    """A picture and the questions about it, which are its rows."""

    questions: tuple[Question, ...] = ()


def grouped(asked: Iterable[tuple[int | str, str, Question]]) -> list[QuestionedExample]:
    """(picture's id, its file, question) in any order -> a picture each, in the order of their first questions."""
    files: dict[int | str, str] = {}
    questions: dict[int | str, list[Question]] = {}
    for picture, file, question in asked:
        files.setdefault(picture, file)
        questions.setdefault(picture, []).append(question)
    return [QuestionedExample(one, files[one], (), questions=tuple(those)) for one, those in questions.items()]


def all_questions(examples: Iterable[Example]) -> Iterator[Question]:
    """The questions of all pictures, one after the other."""
    for example in examples:
        yield from getattr(example, "questions", ())


class QuestionPhotos(Photos):
    """Photos on disk and questions about them. A subclass reads one layout, as it does of `Photos`."""

    things = "questions"
    metrics: tuple[str, ...] = ("exact",)

    def examples(self, split: str) -> list[Example]:
        """All pictures of a split that is asked about, in the order of its file.

        Raises:
            UserError: the split is unknown or empty, a file is not what the layout says, or, unless
                `on_missing="skip"`, a question is empty or a photo is missing.
        """
        known = split_name(str(split))
        if known not in self.splits:
            raise UserError(f"{self.name} has no split {split!r}. Its splits are {', '.join(self.splits)}.")
        if known not in self._examples:
            where = self.annotations(known)
            examples = self._with_questions(where, self.read(known))
            examples = self.checks.present(self.root, examples, known, self.remedy())
            if not examples:
                raise UserError(f"{where}: split {known} asks about no photo. Choose another split or file.")
            self._examples[known] = examples
        return list(self._examples[known])

    def texts(self, examples: Sequence[Example]) -> list[str]:
        """The questions: what a vocabulary counts words in."""
        return [question.text for question in all_questions(examples)]

    def _with_questions(self, where: Path, examples: list[QuestionedExample]) -> list[QuestionedExample]:
        silent = [f"{q.id!r} of {one.file}" for one in examples for q in one.questions if not says_something(q.text)]
        total = sum(len(one.questions) for one in examples)
        self.checks.report(where, silent, total, "questions", "empty", "Write or remove them")
        kept = [(one.id, one.file, q) for one in examples for q in one.questions if says_something(q.text)]
        return grouped(kept) if silent else examples
