"""`captioning answer`: answers to questions about photos, on standard output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from captioning.commands.caption_files import printable
from captioning.commands.own_packages import ALLOW, own_packages
from captioning.errors import UserError
from captioning.files.annotations import read_lines
from captioning.files.atomic import unused_name
from captioning.files.terminal import complain
from captioning.media.finding import find_images, names_a_photo

if TYPE_CHECKING:
    from captioning.tasks.question_answering.answerer import Answer

TABLES = (".csv", ".jsonl", ".ndjson")
MOST = 1000  # answers to a question
PANEL = 256  # pixels of a side of a picture of where was looked


def answer(
    words: Annotated[
        Optional[list[str]],
        typer.Argument(metavar="PATH... QUESTION...", help="Photos or folders, then questions.", show_default=False),
    ] = None,
    model: Annotated[Optional[str], typer.Option(help="A model's folder or name.", show_default=False)] = None,
    questions: Annotated[
        Optional[Path], typer.Option(help="A file with a question a line, or a table of file and question.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=MOST, help="Answers to each question, with probabilities.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    attention: Annotated[Optional[Path], typer.Option(help="Draw where the model looked into this folder.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders' folders too.")] = False,
    device: Annotated[Optional[str], typer.Option(help="cpu, cuda, ...", show_default="a GPU if any")] = None,
    allow: ALLOW = None,
) -> int:
    """Answer questions about photos: captioning answer photo.jpg "What is it?" "How many?" --model runs/NAME/model

    Each photo is looked at once, whatever the number of questions.

    Exit status: 0 done, 1 some files could not be read (each named, the others done), 2 bad usage.
    """
    if model is None:
        raise UserError("--model is missing: name a model that answers questions, such as runs/NAME/model")
    from captioning.tasks.load import load
    from captioning.tasks.question_answering.answerer import Answerer, check_questions

    asked = list(pairs(words or [], questions, recursive))
    for _, those in asked:
        check_questions(those)
    answerer = load(model, device=device, allow=own_packages(allow))
    if not isinstance(answerer, Answerer):
        raise UserError(f"{model} does not answer questions. Name a model that does: --model runs/NAME/model")
    alone = len(asked) == 1 and len(asked[0][1]) == 1
    drawing = Drawings(attention) if attention else None
    failures = 0
    for file, those in asked:
        try:
            for found in answerer.answer(file, those, top=top):
                print(line(file, found, as_json, alone=alone), flush=True)
                if drawing:
                    drawing.write(file, found)
        except UserError as error:
            failures += 1
            complain(error)
    return 1 if failures else 0


def pairs(words: Sequence[str], questions: Path | None, recursive: bool) -> Iterator[tuple[Path, list[str]]]:
    """What was typed -> (photo, its questions).

    A word is a photo or a folder where one of that name is there, or where it ends as photos do; else it is a question,
    asked of every photo. `questions` has one a line, asked of every photo as well; or it is a table with the columns
    file and question, and then photos need not be named.
    """
    photos = [word for word in words if names_a_photo(word)]
    asked = [word for word in words if not names_a_photo(word)]
    if questions is not None and questions.suffix.lower() in TABLES:
        if words:
            raise UserError(f"--questions {questions} names its photos itself: leave out {words[0]!r}")
        yield from _of_table(questions)
        return
    if questions is not None:
        asked += [text.strip() for _, text in read_lines(questions, "Give a file with one question a line.")]
    if not photos:
        raise UserError("no photo is named. Give photos or folders first: captioning answer photo.jpg 'What is this?'")
    if not asked:
        raise UserError("no question is asked. Give one behind the photo: captioning answer photo.jpg 'What is this?'")
    for file in find_images(photos, recursive=recursive):
        yield file, asked


def _of_table(path: Path) -> Iterator[tuple[Path, list[str]]]:
    from captioning.data.question_table import QuestionTable

    table = QuestionTable(path, val_fraction=0.0, test_fraction=0.0, on_missing="ignore")
    for example in table.everything():
        yield table.root / example.file, [one.text for one in example.questions]


def line(file: Path, answer: Answer, as_json: bool, *, alone: bool) -> str:
    """One line: JSON, or the answer (of several with probabilities), behind photo and question unless it is alone."""
    name = str(file)
    if as_json:
        content: dict[str, Any] = {"file": name, "question": answer.question, "answer": answer.text}
        content["probability"] = round(answer.probability, 6)
        if answer.others:
            content["others"] = [{"answer": text, "probability": round(value, 6)} for text, value in answer.others]
        return json.dumps(content, ensure_ascii=not name.isprintable())
    ranked = [(answer.text, answer.probability), *answer.others]
    said = "  ".join(f"{text} {value:.2f}" for text, value in ranked) if answer.others else answer.text
    return said if alone else f"{printable(name)}\t{printable(answer.question)}\t{said}"


class Drawings:
    """A folder with a picture for each photo and question: where the model looked.

    Those of `dog.jpg` are `dog.png`, `dog-2.png`, ... in the order of its questions.
    """

    def __init__(self, folder: Path):
        """Makes the folder. Raises UserError where that cannot be."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--attention {folder}: {error.strerror}. Choose a folder that can be written") from None
        self.folder = folder
        self.taken: set[str] = set()

    def write(self, file: Path, answer: Answer) -> None:
        """Draws one answer. Raises UserError where the model looks at no parts, or the picture cannot be written."""
        from captioning.media.pictures import as_picture
        from captioning.reports.attention_map import attention_strip

        if answer.attention is None:
            raise UserError("--attention: this model does not look at parts of a photo, there is nothing to draw")
        path = self.folder / f"{unused_name(file.stem, self.taken)}.png"
        try:
            strip = attention_strip(
                as_picture(file, 2 * PANEL), [answer.text], answer.attention[None], answer.boxes, None, panel=PANEL
            )
            strip.save(path)
        except (OSError, ValueError) as error:  # no space; or tokens that are neither regions nor a square of cells
            raise UserError(f"{file}: where the model looked cannot be drawn into {path} ({error})") from None
