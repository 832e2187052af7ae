"""Tear a file of captions at every byte, and go on with it: make fuzz, or
PYTHONPATH=tests/support python tests/fuzz/fuzz_outputs.py [N] [SEED]

Half of the N files are cut, as a crash leaves them, half are on a disk that is full after so many bytes and has room
again later. Going on has to end with the bytes of a run that nothing happened to.
"""

from __future__ import annotations

import builtins
import errno
import random
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

from captioning.commands.caption_files import CaptionFile
from captioning.errors import UserError
from captioning.tasks.captioning.caption import Caption

PHOTOS = [Path(name) for name in ("a.jpg", 'b, "c".jpg', "=d.png", "e\nf.png", "Hü.jpg")]


class Full:
    """A file on a disk with room for so many bytes more."""

    def __init__(self, file, room: int):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name: str):
        return getattr(self.file, name)

    def write(self, content: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = self.file.write(content[: self.room])
        self.room -= done
        return done


def caption(path: Path, count: int, **options) -> CaptionFile:
    output = CaptionFile(path, captions=count, **options)
    for file in PHOTOS:
        if file not in output:
            output.write(file, [Caption(f"A {file.stem} {i}.", -float(i), []) for i in range(count)])
    return output


def on_a_full_disk(path: Path, count: int, room: int) -> None:
    """A run whose disk is full after so many bytes of some photo."""
    output, usual = CaptionFile(path, captions=count), builtins.open
    for file in PHOTOS[: room % len(PHOTOS)]:
        output.write(file, [Caption(f"A {file.stem} {i}.", -float(i), []) for i in range(count)])
    with mock.patch("builtins.open", lambda *a, **k: Full(usual(*a, **k), room)):
        try:
            output.write(PHOTOS[room % len(PHOTOS)], [Caption("x" * 300, 0.0, [])] * count)
        except UserError:
            return
    raise SystemExit("the disk was not full")


def fuzz(folder: Path, count: int, seed: int) -> list[str]:
    """What does not end with the bytes that it should."""
    dice, wrong = random.Random(seed), []
    for number in range(count):
        end, several = dice.choice((".jsonl", ".csv")), dice.choice((1, 3))
        whole, path = folder / f"whole-{several}{end}", folder / f"torn{end}"
        path.unlink(missing_ok=True)
        if not whole.exists():
            caption(whole, several)
        content = whole.read_bytes()
        if number % 2:
            on_a_full_disk(path, several, dice.randrange(250))
            what = "a full disk"
        else:
            cut = dice.randrange(len(content))
            if several > 1 and content[:cut].endswith(b"\n"):
                continue  # between two lines of a photo, which may as well have fewer
            path.write_bytes(content[:cut])
            what = f"a cut at {cut}"
        try:
            caption(path, several, keep=True)
        except UserError as error:
            wrong.append(f"{what}: {error}")
            continue
        if path.read_bytes() != content:
            wrong.append(f"{what} of {len(content)} bytes in {end}")
    return wrong


def main(count: int = 2000, seed: int | None = None) -> int:
    """-> exit status: 1 where a file is not completed."""
    seed = int(time.time()) if seed is None else seed
    wrong = fuzz(Path(tempfile.mkdtemp(prefix="fuzz-outputs-")), count, seed)
    print("\n".join(wrong[:20]))
    print(f"outputs: {count:,} torn (seed {seed}), {len(wrong)} not completed")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
