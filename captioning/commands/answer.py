"""`captioning answer`: answers to questions about photos and clips, on standard output."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from captioning.commands.caption_files import printable
from captioning.commands.own_packages import ALLOW, own_packages
from captioning.errors import UserError
from captioning.files.annotations import read_lines
from captioning.files.atomic import unused_name
from captioning.files.terminal import complain, harmless, has_controls
from captioning.media.finding import find_images, names_a_photo
from captioning.media.kinds import is_clip

if TYPE_CHECKING:
    from captioning.data.questions import Question
    from captioning.tasks.question_answering.answerer import Answer
    from captioning.tasks.question_answering.task import QuestionAnswering

TABLES = (".csv", ".jsonl", ".ndjson")
MOST = 1000  # answers to a question
BEGINNING = 60  # letters of a question in a remark
PANEL = 256  # pixels of a side of a picture of where was looked


@dataclass(frozen=True)
class Asked:
    """A photo or clip, what is asked about it, and the questions' ids where a file gives them."""

    file: Path
    questions: tuple[str, ...]
    ids: tuple[int | str, ...] | None = None

    @classmethod
    def by_ids(cls, file: Path, questions: Sequence[Question]) -> Asked:
        return cls(file, tuple(one.text for one in questions), tuple(one.id for one in questions))


def answer(
    words: Annotated[
        Optional[list[str]],
        typer.Argument(
            metavar="PATH... QUESTION...", help="Photos, clips or folders, then questions.", show_default=False
        ),
    ] = None,
    model: Annotated[Optional[str], typer.Option(help="A model's folder or name.", show_default=False)] = None,
    questions: Annotated[
        Optional[Path],
        typer.Option(help="A file with a question a line, a table of file and question, or VQA's questions."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=MOST, help="Answers to each question, with probabilities.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    attention: Annotated[Optional[Path], typer.Option(help="Draw where the model looked into this folder.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into folders' folders too.")] = False,
    device: Annotated[Optional[str], typer.Option(help="cpu, cuda, ...", show_default="a GPU if any")] = None,
    batch_size: Annotated[int, typer.Option(min=1, max=MOST, help="Photos that the model sees at once.")] = 16,
    allow: ALLOW = None,
) -> int:
    """Answer questions about photos: captioning answer photo.jpg "What is it?" "How many?" --model runs/NAME/model

    Each photo is looked at once, whatever the number of questions. A table's files lie in the folder that is named with
    it, or else in its own.

    Exit status: 0 done, 1 some files could not be read (each named, the others done), 2 bad usage.
    """
    if model is None:
        raise UserError("--model is missing: name a model that answers questions, such as runs/NAME/model")
    from captioning.tasks.load import load
    from captioning.tasks.question_answering.answerer import Answerer, check_questions

    asked = list(pairs(words or [], questions, recursive))
    for one in asked:
        check_questions(one.questions)
    answerer = load(model, device=device, allow=own_packages(allow))
    if not isinstance(answerer, Answerer):
        raise UserError(f"{model} does not answer questions. Name a model that does: --model runs/NAME/model")
    remark(answerer.task, dict.fromkeys(text for one in asked for text in one.questions))
    alone = len(asked) == 1 and len(asked[0].questions) == 1
    moving = answerer.encoder.takes == "clip"
    drawing = Drawings(attention, [one.file for one in asked], moving=moving) if attention else None
    failures = 0
    found = answerer.stream(((one.file, one.questions) for one in asked), top=top, batch_size=batch_size)
    for one, (_, answers) in zip(asked, found, strict=True):
        try:
            if isinstance(answers, UserError):
                raise answers
            for r, made in enumerate(answers):
                print(line(one, r, made, as_json, alone=alone), flush=True)
            if drawing:
                drawing.write(one.file, answers)
        except UserError as error:
            failures += 1
            complain(error)
    return 1 if failures else 0


def remark(task: QuestionAnswering, questions: Iterable[str]) -> None:
    """Says of the first question that is not read whole what is not, and of how many more that is so."""
    noted = [(text, note) for text in questions if (note := task.not_read(text))]
    if noted:
        text, note = noted[0]
        further = f" (so in {len(noted) - 1:,} more)" if len(noted) > 1 else ""
        complain(f"{shortened(printable(text))!r}: {note}{further}")


def shortened(text: str) -> str:
    """The text, or its beginning."""
    return text if len(text) <= BEGINNING else f"{text[: BEGINNING - 3]}..."


def pairs(words: Sequence[str], questions: Path | None, recursive: bool) -> Iterator[Asked]:
    """What was typed -> photos and clips with their questions.

    A word is a photo or a folder where one of that name is there, or where it ends as photos do; else it is a question,
    asked of every photo. `questions` has one a line, asked of every photo as well; or it is a table with the columns
    file and question, or VQA's official questions, and says itself what is asked of which photo. Raises UserError.
    """
    photos = [word for word in words if names_a_photo(word)]
    asked = [word for word in words if not names_a_photo(word)]
    if questions is not None and questions.suffix.lower() in (*TABLES, ".json"):
        folder = Path(photos[0]) if photos else None
        if asked or len(photos) > 1 or (folder and not folder.is_dir()):
            further = [*asked, *(photos if folder and not folder.is_dir() else photos[1:])][0]
            raise UserError(f"--questions {questions} says what is asked of which photo: leave out {further!r}")
        official = questions.suffix.lower() == ".json"
        yield from _of_vqa(questions, folder, recursive) if official else _of_table(questions, folder)
        return
    if questions is not None:
        asked += [text.strip() for _, text in read_lines(questions, "Give a file with one question a line.")]
    if not photos:
        raise UserError("no photo is named. Give photos or folders first: captioning answer photo.jpg 'What is this?'")
    if not asked:
        raise UserError("no question is asked. Give one behind the photo: captioning answer photo.jpg 'What is this?'")
    for file in find_images(photos, recursive=recursive, clips=True):
        yield Asked(file, tuple(asked))


def _of_table(path: Path, folder: Path | None) -> Iterator[Asked]:
    from captioning.data.question_table import QuestionTable

    table = QuestionTable(path, folder, val_fraction=0.0, test_fraction=0.0, on_missing="ignore")
    for example in table.everything():
        yield Asked.by_ids(table.root / example.file, example.questions)


def _of_vqa(path: Path, folder: Path | None, recursive: bool) -> Iterator[Asked]:
    """Photos are known by the number at the end of their names: COCO_val2014_000000000042.jpg, 42.png."""
    from captioning.data.benchmarks.vqa import read_questions
    from captioning.data.questions import Question, grouped

    asked = read_questions(path)
    if folder is None:
        raise UserError(f"--questions {path} names photos by number: name their folder before it")
    found: dict[int, Path] = {}
    for file in find_images([folder], recursive=recursive):
        number = re.search(r"[0-9]+$", file.stem)
        if number and found.setdefault(int(number[0]), file) != file:
            raise UserError(f"{found[int(number[0])]} and {file} are both photo {int(number[0])}: keep one of them")
    if not asked:
        raise UserError(f"{path} asks nothing. Name another file of questions")
    missing = list(dict.fromkeys(one["image_id"] for one in asked if one["image_id"] not in found))
    if missing:
        raise UserError(f"{folder} lacks {len(missing):,} of the photos of {path}, the first is {missing[0]}")
    for example in grouped(
        (one["image_id"], str(found[one["image_id"]]), Question(one["question_id"], one["question"])) for one in asked
    ):
        yield Asked.by_ids(Path(example.file), example.questions)


def line(asked: Asked, place: int, answer: Answer, as_json: bool, *, alone: bool) -> str:
    """One line: JSON, or the answer (of several with probabilities), behind photo and question unless it is alone.

    The JSON of a question that has an id is also what `captioning score --task vqa` reads.
    """
    name = str(asked.file)
    if as_json:
        content: dict[str, Any] = {"file": name, "question": answer.question, "answer": answer.text}
        if asked.ids is not None:
            content["question_id"] = asked.ids[place]
        content["probability"] = round(answer.probability, 6)
        if answer.others:
            content["others"] = [{"answer": text, "probability": round(value, 6)} for text, value in answer.others]
        strange = not name.isprintable() or any(map(has_controls, (answer.question, answer.text)))
        return json.dumps(content, ensure_ascii=strange)
    ranked = [(answer.text, answer.probability), *answer.others]
    said = "  ".join(f"{text} {value:.2f}" for text, value in ranked) if answer.others else answer.text
    return harmless(said) if alone else f"{printable(name)}\t{printable(answer.question)}\t{harmless(said)}"


class Drawings:
    """A folder with a picture for each photo and question: where the model looked.

    Those of `dog.jpg` are `dog.png`, `dog-2.png`, ... in the order of its questions.
    """

    def __init__(self, folder: Path, photos: Iterable[Path], *, moving: bool):
        """Makes the folder for drawings of `photos`, none of which is drawn over. `moving` says that the model sees
        clips alone. Raises UserError where the folder cannot be made."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--attention {folder}: {error.strerror}. Choose a folder that can be written") from None
        self.folder, self.moving = folder, moving
        self.photos = {os.path.realpath(photo) for photo in photos}
        self.taken: set[str] = set()
        self.warned = False

    def write(self, file: Path, answers: Sequence[Answer]) -> None:
        """Draws the answers about one photo. Raises UserError where a picture cannot be written.

        A model that does not look at parts of a photo has none, which is said once.
        """
        from captioning.media.pictures import as_picture
        from captioning.reports.attention_map import attention_strip

        if self.moving or is_clip(file):
            raise UserError(f"{file} is read as a clip: --attention draws what was looked at in photos only")
        if any(one.attention is None for one in answers):
            if not self.warned:
                complain("--attention: this model does not look at parts of a photo, there is nothing to draw")
            self.warned = True
            return
        picture = as_picture(file, 2 * PANEL)
        for one in answers:
            path = self.folder / f"{unused_name(file.stem, self.taken)}.png"
            if os.path.realpath(path) in self.photos:
                raise UserError(f"--attention: {path} is one of the photos, and would be lost. Name another folder")
            try:
                attention_strip(picture, [one.text], one.attention[None], one.boxes, None, panel=PANEL).save(path)
            except (OSError, ValueError) as error:  # no space; or tokens that are no regions and no square of cells
                raise UserError(f"{file}: where the model looked cannot be drawn into {path} ({error})") from None
