"""What looking at a clip costs: python tests/benchmarks/video.py

Costs are seconds of work of this process and of its children, not of the clock, so that what else the machine does
changes little; each is the median of rounds in which what is compared takes turns. The clips are made here.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from harness import Figure, report

from captioning.data.source import Source
from captioning.example import Example
from captioning.features.extract import fill
from captioning.media.clip import Clip, FrameSampling

ROUNDS = 5
WIDTH, HEIGHT, FPS, KEYS = 320, 240, 30, 90  # a key frame every three seconds
SAMPLING = FrameSampling(frames=25)


def film(path: Path, seconds: float) -> Path:
    """An H.264 file of smooth noise that drifts, as long as it is told to be."""
    noise = np.random.default_rng(0)
    coarse = noise.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    ground = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.gop_size, stream.max_b_frames = KEYS, 2
        stream.options = {"preset": "veryfast"}
        for i in range(round(seconds * FPS)):
            moved = np.roll(ground, (i, 2 * i), (0, 1))
            frame = av.VideoFrame.from_ndarray(moved)
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def decode(path: Path) -> int:
    """Every frame, none of them turned into RGB, by one thread as ours are."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "NONE", 1
        return sum(1 for _ in container.decode(stream))


def work(call: Callable[[], object]) -> float:
    """Seconds this thread computes for."""
    start = time.thread_time()
    call()
    return time.thread_time() - start


def against_decoding(name: str, path: Path, goal: float, rounds: int) -> Figure:
    """The work of sampling 25 frames as a share of that of decoding the whole clip once."""
    clip = Clip.open(path)
    work(lambda: clip.sample(SAMPLING, size=224))
    shares = [work(lambda: clip.sample(SAMPLING, size=224)) / work(lambda: decode(path)) for _ in range(rounds)]
    return Figure(name, statistics.median(shares), "times", goal)


def peak(path: Path) -> float:
    """The most memory, in MB, of a process that samples a clip."""
    program = (
        "import resource, sys; from captioning.media.clip import Clip, FrameSampling;"
        "Clip.open(sys.argv[1]).sample(FrameSampling(frames=25), size=224);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    return int(subprocess.check_output([sys.executable, "-c", program, str(path)])) / 1024


class Films(Source):
    """The same clip under many ids."""

    name = "films"

    def __init__(self, path: Path, count: int):
        self.path, self.count = path, count

    def examples(self, split: str) -> list[Example]:
        return [Example(i, self.path.name, ("a film",)) for i in range(self.count)]

    def clip(self, example: Example) -> Clip:
        return Clip.open(self.path)


def busy(path: Path, folder: Path, count: int = 48) -> float:
    """Of the cores' time that this machine could give to filling a store, the share that was used, in percent.

    What other programs used in the meantime could not be had, and does not count.
    """
    import torch

    from captioning.encoders.frames import FrameEncoder
    from captioning.encoders.grid import GridEncoder

    cores = len(os.sched_getaffinity(0))
    config = {"_target_": "captioning.encoders.frames.FrameEncoder"}
    encoder, source = FrameEncoder(image=GridEncoder(weights="none"), sampling=SAMPLING), Films(path, count)
    torch.set_num_threads(cores)
    fill(folder / "warm", encoder, config, source, source.examples("all")[:8], num_workers=cores)
    before, others, start = used(), all_used(), time.perf_counter()
    fill(folder / "store", encoder, config, source, source.examples("all"), num_workers=cores)
    took, own = time.perf_counter() - start, used() - before
    elsewhere = max(all_used() - others - own, 0.0)
    print(f"extraction: {count / took:.1f} clips/s, {own:.1f} s of work in {took:.1f} s, others {elsewhere:.1f} s")
    return 100 * own / max(cores * took - elsewhere, own)


def used() -> float:
    """Seconds of work of this process and its finished children."""
    mine, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + children.ru_utime + children.ru_stime


def all_used() -> float:
    """Seconds of work of everything on this machine, where the system tells."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _, _, interrupts, soft = map(int, fields[:7])
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        short, long = film(folder / "short.mp4", 15), film(folder / "long.mp4", 600)
        figures = [
            against_decoding("25 frames of 15 s, against decoding once", short, 1.1, ROUNDS),
            against_decoding("25 frames of 10 min, against decoding once", long, 0.1, 1),
            Figure("peak memory, 10 min against 15 s", peak(long) / peak(short), "times", 1.05),
            Figure("cores busy while a store is filled", busy(short, folder), "%", 90, higher=True),
        ]
    report("video", figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
