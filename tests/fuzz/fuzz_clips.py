"""Damage clips in every way that a disk or a network does, and look at them: make fuzz, or
PYTHONPATH=tests/support python tests/fuzz/fuzz_clips.py [N] [SEED]

FFmpeg runs in a process of its own, so that a crash of it is seen and the rest goes on.
"""

from __future__ import annotations

import os
import random
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from clips import frames, saved_clip

PATIENCE = 10.0  # seconds of work that a clip may take
MEMORY = 4 * 2**30  # bytes that the process may come to hold
KINDS = [("h264", ".mp4"), ("h264", ".ts"), ("mpeg4", ".avi"), ("libvpx", ".webm"), ("gif", ".gif"), ("mpeg4", ".mkv")]


def whole_clips(folder: Path) -> list[Path]:
    """One small clip of every kind, and two real ones where they are at hand."""
    made = [saved_clip(folder / f"{codec}{end}", frames(30), codec=codec) for codec, end in KINDS]
    real = Path(os.environ.get("CAPTIONING_DATA", "/nowhere"))
    return made + sorted(real.glob("ms*/clips/*"), key=lambda path: path.stat().st_size)[:2]


def damaged(content: bytes, dice: random.Random) -> tuple[str, bytes]:
    """What was done, and the bytes that are left."""
    changed, length = bytearray(content), len(content)
    kind = dice.choice(["cut", "header", "bits", "zeros", "noise", "hole", "again", "empty"])
    head = min(length, 2048)
    if kind == "cut":
        del changed[dice.randrange(length) :]
    elif kind == "empty":
        changed = bytearray(dice.choice([0, 1, 100, 5000]))
    elif kind in ("header", "bits"):
        for _ in range(dice.choice([1, 3, 10, 100])):
            # What describes the clip is at the front, in an MP4 as often at the back.
            at = dice.randrange(length)
            if kind == "header":
                at = dice.choice([dice.randrange(head), length - 1 - dice.randrange(head)])
            changed[at] ^= 1 << dice.randrange(8)
    else:
        at, size = dice.randrange(length), dice.choice([4, 100, 4096])
        part = changed[at : at + size]
        new = {"zeros": bytes(len(part)), "noise": dice.randbytes(len(part)), "hole": b"", "again": part + part}[kind]
        changed[at : at + size] = new
    return kind, bytes(changed)


class Looker:
    """A process that looks at clips one after the other."""

    def __init__(self) -> None:
        command = [sys.executable, __file__, "--look"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": environment}
        self.process = subprocess.Popen(command, text=True, bufsize=1, **pipes)
        self.process.stdout.readline()  # it has started

    def look(self, path: Path) -> str:
        """ "read", "named", or what went wrong."""
        self.process.stdin.write(f"{path}\n")
        ready = selectors.DefaultSelector()
        ready.register(self.process.stdout, selectors.EVENT_READ)
        started = work(self.process.pid)
        while not ready.select(timeout=1):
            if work(self.process.pid) - started > 2 * PATIENCE:
                self.process.kill()
                self.process.wait()
                return "hangs"
        answer = self.process.stdout.readline().strip()
        return answer or f"crashes with {self.process.wait()}"


def work(pid: int) -> float:
    """Seconds that a process has computed for; on the clock where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return time.monotonic()


def look_on() -> None:
    """The process's own part: a path on standard input, a word on standard output."""
    import resource

    from captioning.errors import UserError
    from captioning.media.clip import Clip, FrameSampling

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print("ready", flush=True)
    for line in sys.stdin:
        path, started = line.rstrip("\n"), time.thread_time()
        try:
            seen, times = Clip.open(path).sample(FrameSampling(frames=8), size=64)
            good = 1 <= len(seen) == len(times) <= 8 and all(a < b for a, b in zip(times, times[1:], strict=False))
            answer = "read" if good else "gives frames out of order"
        except UserError as error:
            message = str(error)
            answer = "named" if path in message and "\n" not in message else f"does not name it: {message!r}"
        except BaseException as error:
            answer = f"raises {error!r}"
        took = time.thread_time() - started
        print(answer if took <= PATIENCE else f"takes {took:.0f} s, {answer}", flush=True)


def fuzz(folder: Path, count: int, seed: int) -> tuple[Counter, list[str]]:
    """How many of each outcome, and what is not as it should be. Such a clip is kept in the folder."""
    dice, looker = random.Random(seed), Looker()
    whole = whole_clips(folder)
    found, wrong = Counter(), []
    for number in range(count):
        origin = dice.choice(whole)
        kind, content = damaged(origin.read_bytes(), dice)
        path = folder / f"{number}-{kind}{origin.suffix}"
        path.write_bytes(content)
        outcome = looker.look(path)
        found[f"{outcome.split()[0]}"] += 1
        if outcome in ("read", "named"):
            path.unlink()
            continue
        wrong.append(f"{path}: {outcome}")
        if looker.process.poll() is not None:
            looker = Looker()
    looker.process.stdin.close()
    looker.process.wait()
    return found, wrong


def main(count: int = 2000, seed: int | None = None) -> int:
    """-> exit status: 1 where a clip is neither read nor named."""
    seed = int(time.time()) if seed is None else seed
    found, wrong = fuzz(Path(tempfile.mkdtemp(prefix="fuzz-clips-")), count, seed)
    print("\n".join(wrong[:20]))
    tally = ", ".join(f"{number:,} {outcome}" for outcome, number in found.most_common())
    print(f"clips: {count:,} damaged (seed {seed}): {tally}")
    return int(bool(wrong))


if __name__ == "__main__":
    if sys.argv[1:] == ["--look"]:
        look_on()
    else:
        sys.exit(main(*map(int, sys.argv[1:])))
