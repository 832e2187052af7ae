"""Kills captioning of shards at random moments (SIGKILL), the driver and the cluster's actors by their own ids, and
compares what is there in the end with the outputs of a run that nobody kills, byte for byte.

PYTHONPATH=tests/support python tests/fuzz/fuzz_cluster_kills.py [KILLS=10] [SHARDS=16] [SEED=0]
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).parents[2]
PHOTOS = 8  # of a shard


def made(folder: Path, shards: int) -> Path:
    """Shards of small photos, one of them with a picture that is none, and a small model. -> the model."""
    from shard_files import samples, tar
    from tiny_model import saved_model

    for number in range(shards):
        bad = [("bad.png", b"none")] if number == 1 else []
        tar(folder / f"shards/{number:02d}.tar", [*samples(n % 16 for n in range(number, number + PHOTOS)), *bad])
    return saved_model(folder / "model")


def begun(folder: Path, model: Path, output: str, *more: str) -> subprocess.Popen:
    """The command, in a process of its own with a session of its own."""
    command = [sys.executable, "-m", "captioning.cli", "caption", "shards", "--model", str(model)]
    command += ["--output", output, "--format", "jsonl", "--batch-size", "2", *more]
    path = os.pathsep.join(filter(None, [str(ROOT), *sys.path]))
    with (folder / f"{output}.log").open("ab") as log:
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)


def outputs(folder: Path) -> dict[str, bytes]:
    """The outputs that are there, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.jsonl"))}


def ended(process: subprocess.Popen, folder: Path, output: str) -> None:
    """Waits for a run that is left alone. Its status is 1, of the picture that is none; 0 where all was done before."""
    if process.wait(600) not in (0, 1):
        raise SystemExit((folder / f"{output}.log").read_text()[-3000:])


def torn(folder: Path) -> list[str]:
    """Parts of outputs that a run left."""
    return [path.name for path in folder.glob(".*.part")]


def kill_driver(folder: Path, model: Path, kills: int, expected: dict[str, bytes], dice: random.Random) -> int:
    """Kills the command between its beginning and its end, again and again. -> how many kills found it at work."""
    hit, round = 0, 0
    while hit < kills:
        output, round = f"driver{round}", round + 1
        while True:
            before = len(outputs(folder / output))
            process = begun(folder, model, output)
            while process.poll() is None and len(outputs(folder / output)) == before:
                time.sleep(0.002)  # until a shard more is done: a kill before it begins proves nothing
            time.sleep(dice.uniform(0, 0.1))
            if hit >= kills or process.poll() is not None:
                break
            process.kill()
            hit += process.wait() == -signal.SIGKILL
            there = outputs(folder / output)
            assert there.items() <= expected.items(), "an output is there that is not whole"
        ended(process, folder, output)
        assert outputs(folder / output) == expected and not torn(folder / output)
    return hit


def actors_of(driver: int) -> list[int]:
    """Ids of the processes that descend from the driver and hold the model."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout.splitlines()[1:]
    parents, names = {}, {}
    for line in listed:
        pid, parent, name = line.split(None, 2)
        parents[int(pid)], names[int(pid)] = int(parent), name

    def descends(pid: int) -> bool:
        while pid in parents:
            if (pid := parents[pid]) == driver:
                return True
        return False

    return [pid for pid, name in names.items() if name.startswith("ray::MapWorker") and descends(pid)]


def kill_actors(folder: Path, model: Path, kills: int, expected: dict[str, bytes], dice: random.Random) -> int:
    """Kills an actor at work, again and again, while the driver goes on. -> how many were killed."""
    hit, round = 0, 0
    while hit < kills:
        output, round = f"actors{round}", round + 1
        process = begun(folder, model, output, "--cluster", "ray", "--actors", "2")
        here, seen = 0, 0
        while process.poll() is None and hit < kills and here < 3:
            there = len(outputs(folder / output))
            at_work = actors_of(process.pid)
            if not at_work or there <= seen:
                time.sleep(0.01)
                continue
            seen = there
            time.sleep(dice.uniform(0, 0.05))
            try:
                os.kill(dice.choice(at_work), signal.SIGKILL)
            except ProcessLookupError:
                continue
            hit, here = hit + 1, here + 1
        ended(process, folder, output)
        assert outputs(folder / output) == expected and not torn(folder / output)
    return hit


def main(kills: int, shards: int, seed: int) -> None:
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = made(folder, shards)
        ended(begun(folder, model, "alone"), folder, "alone")
        expected = outputs(folder / "alone")
        assert len(expected) == shards
        drivers = kill_driver(folder, model, kills, expected, dice)
        actors = kill_actors(folder, model, kills, expected, dice)
    print(f"{drivers} drivers and {actors} actors killed: {shards} outputs of each run as of one that nobody kills")


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    kills, shards, seed = (*given, *(10, 16, 0)[len(given) :])
    main(kills, shards, seed)
