"""Captions of shards beside those of a folder, a cluster beside two processes, and memory over the photos:
python tests/benchmarks/shards.py [PHOTOS=4000]

Photos of Flickr8k (in the folder that CAPTIONING_DATA names; without it nothing is measured) in 8 shards, the model
shipped with the first release, in bfloat16 where the processor has it. Whole commands are timed, from their start to
their end; on one core each, and on two for the cluster and for two processes. Shards and folder are compared over the
first quarter of the photos, cluster and processes over half of them, memory between the quarter and all.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from harness import Figure, report

from captioning.runtime.precision import processor_has_bf16

SHARDS, MODEL = 8, "flickr8k"
CORES = sorted(os.sched_getaffinity(0))[:2]


def made(folder: Path, photos: list[Path]) -> None:
    """The photos as shards, the first half of those also by twos, and the first quarter as links in a folder."""
    each = -(-len(photos) // SHARDS)
    for name in ("shards", "folder", "half", "half0", "half1"):
        (folder / name).mkdir()
    for photo in photos[: 2 * each]:
        (folder / "folder" / photo.name).symlink_to(photo)
    for number in range(SHARDS):
        path = folder / f"shards/{number}.tar"
        with tarfile.open(path, "w") as shard:
            for photo in photos[number * each : (number + 1) * each]:
                info, content = tarfile.TarInfo(photo.name), photo.read_bytes()
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))
        for name in ("half", f"half{number % 2}") if number < SHARDS // 2 else ():
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


def rate(folder: Path, photos: int, *commands: tuple[list[int], list[str]]) -> float:
    """Photos a second of several commands at once."""
    start = time.perf_counter()
    processes = [begun(folder, cores, *arguments) for cores, arguments in commands]
    for process in processes:
        if process.wait():
            raise SystemExit((folder / "log.txt").read_text()[-2000:])
    return photos / (time.perf_counter() - start)


def streamed(folder: Path, quarter: int) -> tuple[float, float, float]:
    """Photos a second of the first quarter of the shards on one core; the most memory during the last of that quarter,
    and during the last of all, MB."""
    start, most, rate = time.perf_counter(), [0.0] * (SHARDS + 1), 0.0
    process = begun(folder, CORES[:1], "shards", "--output", "streamed")
    while process.poll() is None:
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            break
        held = next((int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmRSS")), 0)
        done = len(list((folder / "streamed").glob("*.stats.json")))
        most[done] = max(most[done], held)
        if done == SHARDS // 4 and not rate:
            rate = quarter / (time.perf_counter() - start)
        time.sleep(0.2)
    if process.wait():
        raise SystemExit((folder / "log.txt").read_text()[-2000:])
    return rate, most[SHARDS // 4 - 1], most[SHARDS - 1]


def main(count: int) -> int:
    photos = sorted(Path(os.environ.get("CAPTIONING_DATA", "data"), "flickr8k/Images").glob("*.jpg"))[:count]
    if not photos:
        print("shards: no photos of Flickr8k, nothing is measured")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made(folder, photos)
        there = len(list((folder / "folder").iterdir()))
        several = rate(folder, there, (CORES[:1], ["folder", "--output", "folder.jsonl"]))
        stream, early, late = streamed(folder, there)
        quarter, all_of_it = f"{there:,}", f"{len(photos):,}"
        figures = [
            Figure("shards: streamed as fast as a folder", stream, "photos/s", 0.9, several, higher=True),
            Figure(f"shards: memory at {all_of_it} over {quarter} photos", late / early, "of it", 1.05),
        ]
        if len(CORES) == 2 and find_spec("ray"):
            alone = [(CORES[i : i + 1], [f"half{i}", "--output", f"half{i}-captions"]) for i in range(2)]
            two = rate(folder, 2 * there, *alone)
            options = ["--cluster", "ray", "--actors", "2", "--cpus", "1"]
            cluster = rate(folder, 2 * there, (CORES, ["half", "--output", "cluster", *options]))
            for path in (folder / "cluster").glob("*.parquet"):
                assert path.read_bytes() == (folder / "streamed" / path.name).read_bytes()
            figures.append(Figure("shards: two actors as two processes", cluster, "photos/s", 0.85, two, higher=True))
    return report("shards", figures)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
