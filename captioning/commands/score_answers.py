"""`captioning score --task vqa`: result files of VQA against the answers of people. Needs no model and no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioning.data.benchmarks.vqa import read_answers, read_questions
from captioning.data.questions import Question
from captioning.errors import UserError
from captioning.files.annotations import parse_json, read_json, read_text
from captioning.files.atomic import write_whole
from captioning.metrics.answer_scores import score_answers
from captioning.metrics.bootstrap import bootstrap, interval, paired_difference, resample_counts
from captioning.metrics.scores import Scores

LEVEL = 0.95


def score(
    questions: Path,
    files: Sequence[Path],
    *,
    metrics: Sequence[str],
    json_file: Path | None = None,
    against: Path | None = None,
    allow_missing: bool = False,
    samples: int = 1000,
    seed: int = 0,
) -> int:
    """Prints the scores of each result file with 95% intervals, overall and by kind. -> exit status 0.

    `files` are the annotations, then result files. `against` is tested resample by resample on the same questions.
    Raises UserError where files do not belong together; `allow_missing` scores the questions that have answers.
    """
    if len(files) < 2:
        raise UserError("--task vqa takes three files or more: questions, annotations, results")
    annotations, *results = files
    truth = _truth(questions, annotations)
    paths = [*results, *([against] if against else [])]
    every = [read_results(path) for path in paths]
    for path, one in zip(paths, every, strict=True):
        _check(path, one, truth, questions, allow_missing)
    asked = [key for key in truth if all(key in one for one in every)]
    if not asked:
        raise UserError("the result files have no question in common: nothing can be compared")
    people = {key: truth[key].answers for key in asked}
    kinds = {key: (truth[key].answer_type, truth[key].kind) for key in asked}
    scores = [score_answers(people, one, metrics=metrics, kinds=kinds) for one in every]
    draws = resample_counts(len(asked), samples, seed)
    drawn = [{name: bootstrap(metric, draws) for name, metric in one.resamplable.items()} for one in scores]
    intervals = [{name: interval(values, LEVEL) for name, values in one.items()} for one in drawn]
    print(table(paths[: len(results)], scores, intervals, len(asked)))
    found: list[dict[str, Any]] = []
    for i, path in enumerate(results):
        about: dict[str, Any] = {"results": str(path), "scores": scores[i].corpus, "intervals": intervals[i]}
        if against:
            print(f"\n{path} minus {against}, paired bootstrap:")
            about["differences"] = {}
            for name in scores[i].resamplable:
                gain = scores[i].corpus[name] - scores[-1].corpus[name]
                difference = paired_difference(drawn[i][name], drawn[-1][name], gain, LEVEL)
                low, high = 100 * difference.low, 100 * difference.high
                print(f"{name}  {100 * gain:+.2f} [{low:+.2f}, {high:+.2f}]  p = {difference.p_value:.3f}")
                about["differences"][name] = vars(difference)
        found.append(about)
    if json_file:
        content = {"questions": str(questions), "annotations": str(annotations), "asked": len(asked), "results": found}
        write_whole(json_file, json.dumps(content, indent=1) + "\n")
    return 0


def read_results(path: Path) -> dict[int | str, str]:
    """Question id -> answer: the official list of question_id and answer, or one such object a line."""
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        listed = [parse_json(line, path) for line in read_text(path).splitlines() if line.strip()]
    else:
        listed = read_json(path, "Give a result file of VQA.")
    if not isinstance(listed, list):
        raise UserError(f"{path} should be a list of objects with question_id and answer.")
    found: dict[int | str, str] = {}
    for index, one in enumerate(listed):
        key, answer = (one.get("question_id"), one.get("answer")) if isinstance(one, dict) else (None, None)
        if not isinstance(key, (int, str)) or not isinstance(answer, str):
            raise UserError(f"{path}: entry {index} should have a question_id and an answer that is text.")
        if key in found:
            raise UserError(f"{path}: question {key} is answered twice. Keep one answer.")
        found[key] = answer
    return found


def _truth(questions: Path, annotations: Path) -> dict[int, Question]:
    """The questions that are asked, with their answers. Raises UserError where the two files are of other splits."""
    asked, answered = [one["question_id"] for one in read_questions(questions)], read_answers(annotations)
    without = [key for key in asked if key not in answered]
    if without or not asked:
        first = f", the first is {without[0]}" if without else ""
        raise UserError(
            f"{annotations} has no answers to {len(without):,} of {len(asked):,} questions of {questions}{first}. "
            "Take both files of one split."
        )
    return {key: answered[key] for key in asked}


def _check(path: Path, found: dict, truth: dict, questions: Path, allow_missing: bool) -> None:
    strange = [key for key in found if key not in truth]
    if strange:
        raise UserError(f"{path}: question {strange[0]} is none of {questions}. Take the results of that split.")
    missing = [key for key in truth if key not in found]
    if missing and (not allow_missing or len(missing) == len(truth)):
        raise UserError(
            f"{path} answers {len(found):,} of {len(truth):,} questions, question {missing[0]} is missing. "
            "Answer all, or give --allow-missing."
        )


def table(paths: Sequence[Path], scores: Sequence[Scores], intervals: Sequence[dict], asked: int) -> str:
    """The scores times 100, a row a metric or kind, a column a result file."""
    rows = [["x100", *map(str, paths)], ["questions", *(f"{asked:,}" for _ in paths)]]
    for name in scores[0].corpus:
        cells = []
        for one, of in zip(scores[: len(paths)], intervals, strict=False):
            low, high = of.get(name, (None, None))
            value = f"{100 * one.corpus[name]:.2f}"
            cells.append(value if low is None else f"{value} [{100 * low:.2f}, {100 * high:.2f}]")
        rows.append([name, *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
