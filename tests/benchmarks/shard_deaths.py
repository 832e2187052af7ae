"""Ten thousand shards, of which one in twenty has its worker die, and a driver that dies as well:
python tests/benchmarks/shard_deaths.py [SHARDS=10000] [SEED=0]

Shards are read, captioned in batches and written by the code that does so in earnest; only the model is none. A worker
kills itself (SIGKILL) at a random place: before it writes, among its rows, between an output and what says that it is
done, or behind that. What it had is handed to another, as Ray Data does it; a driver that died begins anew. At the end
every shard has one output with each of its rows once, and no shard was done that was known to be done.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from captioning.commands import shard_captions
from captioning.commands.caption_shards import remove_torn
from captioning.shards.outputs import MANIFEST, STATS, agree, done, is_done, summarise
from captioning.shards.shard import find_shards, output_names

WORKERS, ROWS, DYING, DRIVERS = 4, 5, 0.05, 4
STAGES = ("before", "rows", "output", "stats")


class NoModel:
    """Says of a picture what it is called; dies among the rows of a shard where it is told to."""

    dying = False

    def stream_batches(self, batches: Any, *, look: Any, **options: Any) -> Iterator[list[tuple[Any, Any]]]:
        for number, batch in enumerate(batches):
            if self.dying and number:
                die()
            yield [(item, [SimpleNamespace(text=f"a picture called {look(item).name}", score=0.0)]) for item in batch]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def worker(pipe: Connection, work: shard_captions.Work, seed: int) -> None:
    """Does what it is handed until it dies."""
    dice, model, write_stats = random.Random(seed), NoModel(), shard_captions.write_stats
    while True:
        shard, name = pipe.recv()
        stage = dice.choice(STAGES) if dice.random() < DYING else None
        model.dying = stage == "rows"

        def noted(folder: str, name: str, stats: dict[str, Any], stage: str | None = stage) -> None:
            if stage == "output":
                die()
            write_stats(folder, name, stats)
            if stage == "stats":
                die()

        shard_captions.write_stats = noted
        if stage == "before":
            die()
        pipe.send(list(shard_captions.caption_shards(model, [(shard, name)], work)))


def drive(todo: list[Any], work: shard_captions.Work, dice: random.Random, most: float) -> tuple[list[str], int]:
    """Hands shards to workers and theirs to others when they die, until `most` are done. -> done, and how many died."""
    context, finished, deaths = multiprocessing.get_context("fork"), [], 0
    todo, busy = list(reversed(todo)), {}

    def employ() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=worker, args=(theirs, work, dice.getrandbits(32)), daemon=True)
        process.start()
        theirs.close()
        hand_to(ours, process)

    def hand_to(pipe: Connection, process: Any) -> None:
        if not todo:
            process.kill()
            return
        piece = todo.pop()
        try:
            pipe.send(piece)
        except (BrokenPipeError, ConnectionResetError):  # nobody's at the other end: another takes it
            todo.append(piece)
            return
        busy[pipe] = (process, piece)

    for _ in range(WORKERS):
        employ()
    while busy and len(finished) < most:
        for pipe in wait(list(busy)):
            process, piece = busy.pop(pipe)
            try:
                finished += [one["name"] for one in pipe.recv()]
            except (EOFError, ConnectionResetError):
                deaths += 1
                process.join()
                todo.append(piece)
                employ()
            else:
                hand_to(pipe, process)
    for process, _ in busy.values():  # a driver's death is that of its workers
        process.kill()
        process.join()
    return finished, deaths


def main(count: int, seed: int) -> None:
    dice, start = random.Random(seed), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        shards, folder = Path(name, "shards"), str(Path(name, "captions"))
        shards.mkdir()
        for number in range(count):
            shards.joinpath(f"{number:05d}.lst").write_text("".join(f"{number:05d}-{i}.jpg\n" for i in range(ROWS)))
        work = shard_captions.Work(None, {}, folder, "jsonl", batch_size=2, called="none")
        found = find_shards([str(shards / "*.lst")])
        agree(folder, {"model": "none"}, overwrite=False)
        deaths, handed, drivers = 0, Counter(), 0
        while True:
            remove_torn(folder)
            there = done(folder, "jsonl")
            names = output_names(found, {one: stats["shard"] for one, stats in there.items()})
            todo = [(shard, names[shard]) for shard in found if not is_done(there.get(names[shard]), shard)]
            if not todo:
                break
            drivers += 1
            finished, died = drive(
                todo, work, dice, count / DRIVERS * dice.uniform(0.5, 1) if drivers < DRIVERS else count
            )
            handed.update(finished)
            deaths += died
            summarise(folder, {"model": "none"}, "jsonl")
        twice = [one for one, times in handed.items() if times > 1]
        rows = Counter()
        for path in Path(folder).glob("*.jsonl"):
            ids = [json.loads(line)["id"] for line in path.read_text().splitlines()]
            assert ids == [f"{path.stem}-{i}.jpg" for i in range(ROWS)], f"{path.name}: {ids}"
            rows.update(ids)
        manifest = json.loads(Path(folder, MANIFEST).read_text())
        assert len(rows) == ROWS * count and set(rows.values()) == {1}, "a row is lost, or there twice"
        assert manifest["shards"] == count and manifest["rows"] == ROWS * count and manifest["errors"] == 0
        assert not twice, f"{twice[0]} was known to be done, and was done again"
        left = [one.name for one in Path(folder).iterdir() if not one.name.endswith((".jsonl", STATS, MANIFEST))]
        assert not left, left
    seconds = time.perf_counter() - start
    print(
        f"{count:,} shards of {ROWS} rows, {deaths:,} workers and {drivers - 1} drivers died: nothing lost, "
        f"nothing twice ({seconds:.0f} s)"
    )


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    main(*given, *(10_000, 0)[len(given) :])
