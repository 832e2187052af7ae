"""What a finished run came to, as finished.json, and a table of the runs of a sweep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
import yaml
from pytorch_lightning.callbacks import Timer

from captioning.files.atomic import write_whole
from captioning.training.callbacks import read_curves

COLUMNS = ("name", "overrides", "CIDEr", "BLEU-4", "epochs", "minutes")


def write_summary(folder: Path, cider: float, trainer: pl.Trainer) -> Path:
    """finished.json: the scores (x100) of the best epoch, the epochs trained, and the minutes, those before an
    interruption included."""
    curves = read_curves(folder)
    best = next((epoch for epoch, value in curves.get("val/CIDEr", []) if abs(value - cider) < 1e-4), None)
    scores = {name: dict(points).get(best) for name, points in curves.items() if name.startswith("val/")}
    timer = next(callback for callback in trainer.callbacks if isinstance(callback, Timer))
    found = {**scores, "val/CIDEr": cider, "epochs": trainer.current_epoch}
    found["minutes"] = round(timer.time_elapsed("train") / 60, 2)
    return write_whole(folder / "finished.json", json.dumps(found, indent=2) + "\n")


def sweep_table(folders: Sequence[Path]) -> str:
    """The runs in these folders as a Markdown table, best first by CIDEr; those that did not finish at the end.

    Of their overrides it has those that not all of them share.
    """
    given = [_overrides(folder) for folder in folders]
    shared = set.intersection(*map(set, given)) if len(given) > 1 else set()
    own = [" ".join(one for one in each if one not in shared) for each in given]
    rows = sorted(map(_row, folders, own), key=lambda row: (row[2] is None, -(row[2] or 0), row[0]))
    cells = [COLUMNS, *([_text(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(COLUMNS))]

    def line(row: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "| " + " | ".join(padded) + " |"

    rule = "| " + " | ".join("-" * width if i < 2 else "-" * (width - 1) + ":" for i, width in enumerate(widths)) + " |"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])]) + "\n"


def _overrides(folder: Path) -> list[str]:
    file = folder / ".hydra" / "overrides.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else []


def _row(folder: Path, overrides: str) -> tuple:
    finished = folder / "finished.json"
    found = json.loads(finished.read_text(encoding="utf-8")) if finished.exists() else {}
    scores = (found.get("val/CIDEr"), found.get("val/BLEU-4"), found.get("epochs"), found.get("minutes"))
    return (folder.name, overrides, *scores)


def _text(value: str | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def finish_sweep(folders: Sequence[Path]) -> None:
    """Prints the table of a sweep's runs, and writes it as sweep.md beside them."""
    table = sweep_table(folders)
    print(table, end="")
    print(f"written to {write_whole(folders[0].parent / 'sweep.md', table)}")
