"""The bar that every long command shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(title: str, *, enabled: bool = True) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr with speed and time left, moved by calling it with (done, total). Silent until first called.

    A total of None is one that is not known. Where nobody looks, because it is not `enabled`, nothing is drawn.
    """
    if not enabled:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = None

        def report(done: int, total: int | None) -> None:
            nonlocal task
            if task is None:
                task = progress.add_task(title, total=total, completed=done, speed="")
            speed = progress.tasks[0].speed
            progress.update(task, completed=done, speed=f"{speed:.0f}/s" if speed else "")

        yield report
