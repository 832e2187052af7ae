"""What a run writes down as it goes: one log in words, one table of figures, however often it is interrupted."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.loggers.logger import rank_zero_experiment

from captioning.errors import UserError
from captioning.files.atomic import write_whole
from captioning.files.terminal import HarmlessLines

log = logging.getLogger("captioning")

TABLE = ExperimentWriter.NAME_METRICS_FILE


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Has everything that is said meanwhile stand in a file as well, behind what it holds, with the time.

    Raises UserError where that cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path.parent} cannot be written: {error.strerror}. Choose another with output=DIR") from None
    handler.setFormatter(HarmlessLines("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    if not log.isEnabledFor(logging.INFO):
        log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    except Exception as error:  # why a run ended belongs to what it wrote down
        handler.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, str(error), (), None))
        raise
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()


class RunTable(CSVLogger):
    """csv/version_0/metrics.csv of a run, which a resumed run goes on with."""

    def __init__(self, folder: Path):
        there = tables(folder)
        last = there[-1].parent.name.removeprefix("version_") if there else "0"
        super().__init__(folder, name="csv", version=int(last))

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        if self._experiment is None:
            self._experiment = ContinuedTable(self.log_dir)
        return self._experiment


class ContinuedTable(ExperimentWriter):
    """Rows behind those that are there, which Lightning's own would delete."""

    def _check_log_dir_exists(self) -> None:
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.metrics_keys = next(csv.reader(file), [])


def tables(folder: str | Path) -> list[Path]:
    """The tables of a run, the oldest first. A run of an earlier version has one for each start."""
    found = Path(folder).glob(f"csv/version_*/{TABLE}")
    return sorted(found, key=lambda path: int(path.parent.name.removeprefix("version_")))


def cut_log(folder: Path, step: int) -> None:
    """Takes out of a run's tables what is of `step` or later: a run that goes on from there says it again."""
    for path in tables(folder):
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = list(reader.fieldnames or ())
            rows = list(reader)
        kept = [row for row in rows if (row.get("step") or "").isdecimal() and int(row["step"]) < step]
        if len(kept) == len(rows):
            continue
        if not kept:
            path.unlink()
            continue
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        write_whole(path, text.getvalue())
