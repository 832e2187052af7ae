"""Figures of speed and size: one printed line each, kept in results.json beside what machine they were taken on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

RESULTS = Path(__file__).with_name("results.json")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Figure:
    """One measured value against a goal.

    With a `peer`, the goal is for the ratio peer / ours, at least; for values of which more is better (`higher`), for
    ours / peer. Without one, the goal is for our value: at most, or with `higher` at least.
    """

    name: str
    ours: float
    unit: str
    goal: float
    peer: float | None = None
    higher: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer."""
        if self.peer is None:
            return None
        return self.ours / self.peer if self.higher else self.peer / self.ours

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        if self.ratio is not None:
            return bool(self.ratio >= self.goal)
        return bool(self.ours >= self.goal if self.higher else self.ours <= self.goal)  # not one of NumPy's

    def line(self) -> str:
        """name  ours  peer  ratio  goal  met|short"""
        ratio, sign = self.ratio, ">=" if self.peer is not None or self.higher else "<="
        cells = (
            f"{self.ours:.4g} {self.unit}",
            "-" if self.peer is None else f"{self.peer:.4g} {self.unit}",
            "-" if ratio is None else f"{ratio:.1f}x",
            f"{sign} {self.goal:g}{'x' if ratio is not None else ' ' + self.unit}",
        )
        return "  ".join([f"{self.name:<48}", *(f"{cell:>12}" for cell in cells), "met" if self.met else "short"])


def seconds(call: Callable[[], Answer], *, repeat: int = 3) -> tuple[float, Answer]:
    """The median wall time of `repeat` calls, and the last answer."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        answer = call()
        times.append(time.perf_counter() - start)
    return statistics.median(times), answer


def drawn_photos(folder: Path, count: int) -> None:
    """Pictures of the generated world as a camera writes them, 640 x 480."""
    from captioning.data.synthetic.scenes import Scenes

    world = Scenes(train=count, size=640)
    for i, example in enumerate(world.examples("train")):
        world.image(example).crop((0, 80, 640, 560)).save(folder / f"{i}.jpg", quality=90)


def report(group: str, figures: list[Figure], results: Path = RESULTS) -> int:
    """Print the figures and put them into the results under `group`. -> how many fall short of their goal."""
    for figure in figures:
        print(figure.line())
    kept: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    kept[group] = {
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "figures": [{**vars(figure), "ratio": figure.ratio, "met": figure.met} for figure in figures],
    }
    part = results.with_name(f".{results.name}.part")
    part.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
    os.replace(part, results)
    return sum(not figure.met for figure in figures)


def machine() -> str:
    """The processor, its cores, the system and the Python that were measured."""
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{processor}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
