"""What a finished run came to, as finished.json, and a table of the runs of a sweep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from pytorch_lightning.callbacks import Timer

from captioning.files.atomic import write_whole
from captioning.tasks.base import Task
from captioning.training.callbacks import read_curves


def write_summary(folder: Path, task: Task, score: float | None, trainer: pl.Trainer) -> Path:
    """finished.json: the scores (x100) of the best epoch, the epochs trained, and the minutes, those before an
    interruption included; and by which score runs are compared. `score` None: no epoch was validated."""
    curves = read_curves(folder)
    monitor, mode = task.monitor
    found: dict[str, Any] = {}
    if score is not None:
        best = next((epoch for epoch, value in curves.get(monitor, []) if abs(value - score) < 1e-4), None)
        found = {name: dict(points).get(best) for name, points in curves.items() if name.startswith("val/")}
        found[monitor] = score
    timer = next(callback for callback in trainer.callbacks if isinstance(callback, Timer))
    found["epochs"] = trainer.current_epoch
    found["minutes"] = round(timer.time_elapsed("train") / 60, 2)
    shown = list(dict.fromkeys([monitor, *(f"val/{name}" for name in task.columns)]))
    found |= {"monitor": [monitor, mode], "columns": shown}
    return write_whole(folder / "finished.json", json.dumps(found, indent=2) + "\n")


def sweep_table(folders: Sequence[Path]) -> str:
    """The runs in these folders as a Markdown table, the best first by what they were compared by; those that did not
    finish at the end.

    Of their overrides it has those that not all of them share.
    """
    given = [_overrides(folder) for folder in folders]
    shared = set.intersection(*map(set, given)) if len(given) > 1 else set()
    own = [" ".join(one for one in each if one not in shared) for each in given]
    ended = [_finished(folder) for folder in folders]
    first = next((found for found in ended if found), {})
    monitor, mode = first.get("monitor", ["val/loss", "min"])
    columns = [*first.get("columns", []), "epochs", "minutes"]
    sign = -1 if mode == "max" else 1
    order = sorted(
        range(len(folders)),
        key=lambda i: (monitor not in ended[i], sign * ended[i].get(monitor, 0.0), folders[i].name),
    )
    head = ["name", "overrides", *(name.removeprefix("val/") for name in columns)]
    rows = [[folders[i].name, own[i], *(_text(ended[i].get(name)) for name in columns)] for i in order]
    cells = [head, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    rule = "| " + " | ".join("-" * width if i < 2 else "-" * (width - 1) + ":" for i, width in enumerate(widths)) + " |"
    return "\n".join([line(head), rule, *map(line, rows)]) + "\n"


def _overrides(folder: Path) -> list[str]:
    file = folder / ".hydra" / "overrides.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else []


def _finished(folder: Path) -> dict[str, Any]:
    file = folder / "finished.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def _text(value: str | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def finish_sweep(folders: Sequence[Path]) -> None:
    """Prints the table of a sweep's runs, and writes it as sweep.md beside them."""
    table = sweep_table(folders)
    print(table, end="")
    print(f"written to {write_whole(folders[0].parent / 'sweep.md', table)}")
