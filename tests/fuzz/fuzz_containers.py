"""Open lists, scripts and bottomless tables that are called clips: make fuzz, or
PYTHONPATH=tests/support python tests/fuzz/fuzz_containers.py [N] [SEED]

Each has to be refused in a sentence within a second of work, with no more memory than before and no port opened.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from hostile_clips import invented_lists, invented_tables

from captioning.errors import UserError
from captioning.media.clip import Clip, FrameSampling

MOST_MEMORY = 256  # MB more than at the beginning


def refused(path: Path) -> bool:
    """Whether a file is refused as it should be."""
    began = time.thread_time()
    try:
        Clip.open(path).sample(FrameSampling(frames=8))
    except UserError as error:
        return str(path) in str(error) and "\n" not in str(error) and time.thread_time() - began < 1
    return False


def fuzz(folder: Path, count: int, seed: int) -> list[str]:
    """What is not refused; it is kept in the folder."""
    wrong, before = [], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    os.chdir(folder)
    for end, cases in ((".mp4", invented_lists(count, seed)), (".mov", invented_tables(count, seed))):
        for number, (kind, content) in enumerate(cases):
            path = folder / f"{number}-{kind}{end}"
            path.write_bytes(content)
            if refused(path):
                path.unlink()
            else:
                wrong.append(str(path))
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    return wrong + ([f"{more} MB more memory"] if more > MOST_MEMORY else [])


def main(count: int = 2000, seed: int | None = None) -> int:
    """-> exit status: 1 where a file is not refused."""
    seed = int(time.time()) if seed is None else seed
    wrong = fuzz(Path(tempfile.mkdtemp(prefix="fuzz-containers-")), count, seed)
    print("\n".join(wrong[:20]))
    print(f"containers: {count:,} lists and {count:,} tables (seed {seed}), {len(wrong)} not refused")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
