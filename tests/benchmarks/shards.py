"""Captions of shards beside those of a folder, a cluster beside two processes, and memory over the photos:
python tests/benchmarks/shards.py [PHOTOS=4000]

Photos of Flickr8k (in the folder that CAPTIONING_DATA names; without it nothing is measured) in 8 shards, the model
shipped with the first release, in bfloat16 where the processor has it. Whole commands are timed, from their start to
their end: folder and shards in turns over the first quarter of the photos, on one core, also by the processor's time,
which other work on the machine hardly changes; memory over all, between the end of that quarter and of all; two
processes of one core each and a cluster of two actors over all.
"""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from harness import Figure, report

from captioning.runtime.precision import processor_has_bf16

SHARDS, ROUNDS, MODEL = 8, 2, "flickr8k"
CORES = sorted(os.sched_getaffinity(0))[:2]


def made(folder: Path, photos: list[Path]) -> None:
    """The photos as shards, every second of them and the first quarter as links, and the photos of that quarter too."""
    each = -(-len(photos) // SHARDS)
    for name in ("shards", "folder", "quarter", "half0", "half1"):
        (folder / name).mkdir()
    for photo in photos[: SHARDS // 4 * each]:
        (folder / "folder" / photo.name).symlink_to(photo)
    for number in range(SHARDS):
        path = folder / f"shards/{number}.tar"
        with tarfile.open(path, "w") as shard:
            for photo in photos[number * each : (number + 1) * each]:
                info, content = tarfile.TarInfo(photo.name), photo.read_bytes()
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))
        for name in (f"half{number % 2}", *(["quarter"] if number < SHARDS // 4 else [])):
            (folder / f"{name}/{number}.tar").symlink_to(path)


def begun(folder: Path, cores: list[int], *arguments: str) -> subprocess.Popen:
    """captioning caption with these arguments on these cores."""
    command = ["taskset", "-c", ",".join(map(str, cores)), sys.executable, "-m", "captioning.cli", "caption"]
    precision = "bf16" if processor_has_bf16() else "32"
    command += [*arguments, "--model", MODEL, "--device", "cpu", "--precision", precision]
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def ended(folder: Path, process: subprocess.Popen) -> float:
    """Waits for a command. -> the processor's time that it took, seconds."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit((folder / "log.txt").read_text()[-2000:])
    return used.ru_utime + used.ru_stime


def timed(folder: Path, *commands: tuple[list[int], list[str]]) -> tuple[float, float]:
    """Several commands at once. -> seconds by the clock, and of the processor."""
    start = time.perf_counter()
    processes = [begun(folder, cores, *arguments) for cores, arguments in commands]
    used = sum(ended(folder, process) for process in processes)
    return time.perf_counter() - start, used


def most_memory(folder: Path) -> list[float]:
    """All shards on one core. -> the most memory while each of them was captioned, MB."""
    most = [0.0] * (SHARDS + 1)
    process = begun(folder, CORES[:1], "shards", "--output", "streamed")
    while held := resident(process.pid):
        done = len(list((folder / "streamed").glob("*.stats.json")))
        most[done] = max(most[done], held)
        time.sleep(0.2)
    ended(folder, process)
    return most[:SHARDS]


def resident(process: int) -> float:
    """MB of memory that a process holds; 0 once it has ended."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS")), 0.0)


def main(count: int) -> int:
    photos = sorted(Path(os.environ.get("CAPTIONING_DATA", "data"), "flickr8k/Images").glob("*.jpg"))[:count]
    if not photos:
        print("shards: no photos of Flickr8k, nothing is measured")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made(folder, photos)
        there = len(list((folder / "folder").iterdir()))
        rounds = []
        for round in range(ROUNDS):
            commands = (["folder", "--output", f"folder{round}.jsonl"], ["quarter", "--output", f"quarter{round}"])
            rounds.append([timed(folder, (CORES[:1], command)) for command in commands])
            print("folder {:.1f} s, {:.1f} of the processor; shards {:.1f} s, {:.1f}".format(*sum(rounds[-1], ())))
        names = ("shards: streamed as fast as a folder", "shards: streamed, by processor time")
        figures = []
        for name, kind in zip(names, (0, 1), strict=True):
            several, stream = (there / statistics.median(one[way][kind] for one in rounds) for way in (0, 1))
            figures.append(Figure(name, stream, "photos/s", 0.9, several, higher=True))
        most = most_memory(folder)
        print("memory, shard by shard:", *(f"{held:.0f}" for held in most), "MB")
        title = f"shards: memory at {len(photos):,} over {there:,} photos"
        figures.append(Figure(title, most[-1] / most[SHARDS // 4 - 1], "of it", 1.05))
        if len(CORES) == 2 and find_spec("ray"):
            alone = [(CORES[i : i + 1], [f"half{i}", "--output", f"half{i}-captions"]) for i in range(2)]
            two, _ = timed(folder, *alone)
            options = ["--cluster", "ray", "--actors", "2", "--cpus", "1"]
            cluster, _ = timed(folder, (CORES, ["shards", "--output", "cluster", *options]))
            for path in (folder / "streamed").glob("*.parquet"):
                assert path.read_bytes() == (folder / "cluster" / path.name).read_bytes()
            own, peer = len(photos) / cluster, len(photos) / two
            figures.append(Figure("shards: two actors as two processes", own, "photos/s", 0.85, peer, higher=True))
    return report("shards", figures)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
