"""Damage feature files in every way and see that nobody believes them: make fuzz, or
PYTHONPATH=tests/support python tests/fuzz/fuzz_features.py [N] [SEED]

N files are cut short or have bits flipped, a third each stores, TSV and .npz. Reading one has to end in an error that
names the file, or give what was there before. A TSV has no checksum: there a flipped bit may also change numbers, of
the one picture whose line it is in. At the end an extraction is killed ten times and resumed.
"""

from __future__ import annotations

import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import feature_layouts as layouts
import numpy as np
import torch
from killed_extraction import BATCH, difference, extract, kill_and_resume

from captioning.errors import UserError
from captioning.features.formats.open import open_features
from captioning.features.store import FeatureStore
from captioning.memory import VisualMemory

SECONDS = 10  # after which a reader counts as hanging
ABOUT = {"encoder": {"backbone": "fuzz"}, "digest": "d" * 64, "width": layouts.WIDTH}


def damaged(content: bytes, dice: random.Random) -> bytes:
    """The same cut short, or with one to three bits flipped."""
    if dice.random() < 0.3:
        return content[: dice.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(dice.randint(1, 3)):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


class Store:
    """A store of two parts; any of its files is damaged."""

    def __init__(self, folder: Path):
        self.folder = folder / "store"
        self.ids = [391895, "a.jpg", "b.jpg", "c.jpg"]
        for part in (self.ids[:2], self.ids[2:]):
            store = FeatureStore.create(self.folder, **ABOUT, columns=["tokens", "pooled", "boxes"])
            counts = torch.tensor([2, 3])
            tokens = torch.rand(2, 3, layouts.WIDTH)
            store.append(
                part, VisualMemory(tokens, torch.arange(3) < counts[:, None], tokens.mean(1), torch.rand(2, 3, 4))
            )
        self.files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        self.name, self.truth = str(self.folder), self.read()

    def read(self) -> dict[str, bytes]:
        store = FeatureStore.create(self.folder, **ABOUT, columns=["tokens", "pooled", "boxes"])
        store.damaged()
        memory = store.read(self.ids)
        parts = (memory.tokens, memory.pooled, memory.boxes, memory.mask)
        return {str(key): b"".join(part[b].numpy().tobytes() for part in parts) for b, key in enumerate(self.ids)}

    def tolerable(self, found: dict[str, bytes]) -> bool:
        return found == self.truth


class Npz:
    """A folder of three pictures; one of them is damaged. The format has checksums."""

    make = staticmethod(layouts.npz)

    def __init__(self, folder: Path):
        self.path = self.make(folder, layouts.everything())
        self.files = sorted(self.path.iterdir()) if self.path.is_dir() else [self.path]
        self.name, self.truth = str(self.path), self.read()

    def read(self) -> dict[str, bytes]:
        file = open_features(self.path)
        content = {key: file.read(key) for key in file.ids()}
        if not all(np.isfinite(each.tokens).all() and each.boxes is not None for each in content.values()):
            return {}
        return {key: b"".join((each.tokens.tobytes(), each.boxes.tobytes())) for key, each in content.items()}

    def tolerable(self, found: dict[str, bytes]) -> bool:
        return found == self.truth


class Tsv(Npz):
    """One table of three pictures."""

    make = staticmethod(layouts.tsv)

    def tolerable(self, found: dict[str, bytes]) -> bool:
        """Some lines have another number or id and the shapes they had; or it was cut short at the end of a line."""
        sizes = Counter(map(len, self.truth.values()))
        return Counter(map(len, found.values())) == sizes or set(found.items()) < set(self.truth.items())


def attempt(target: Store | Npz, dice: random.Random) -> tuple[str, str | None]:
    """Damages one file, reads everything, puts it back. -> what became of it, and what is wrong with that."""
    path = dice.choice(target.files)
    good = path.read_bytes()
    path.write_bytes(damaged(good, dice))
    signal.alarm(SECONDS)
    try:
        found = target.read()
        outcome, wrong = ("unharmed" if found == target.truth else "changed"), None
        if not target.tolerable(found):
            wrong = f"{path}: other values than were written"
    except UserError as error:
        outcome, wrong = "refused", None if target.name in str(error) else f"an error that does not name it: {error}"
    except BaseException as error:
        outcome, wrong = "crashed", f"{path}: {type(error).__name__}: {error}"
        shutil.copy(path, Path(tempfile.gettempdir()) / f"fuzz-{path.name}")
    finally:
        signal.alarm(0)
        path.write_bytes(good)
    return outcome, wrong


def fuzz(folder: Path, count: int, seed: int) -> tuple[Counter, list[str]]:
    """-> how many of each kind ended how, and everything that must not be."""
    dice, outcomes, wrong = random.Random(seed), Counter(), []
    targets = [Store(folder), Npz(folder), Tsv(folder)]
    for i in range(count):
        target = targets[i % len(targets)]
        outcome, problem = attempt(target, dice)
        outcomes[type(target).__name__.lower(), outcome] += 1
        wrong += [problem] if problem else []
    return outcomes, wrong


def main(count: int = 10_000, seed: int | None = None) -> int:
    """-> exit status: 1 where a damaged file was believed, crashed its reader or was not named."""
    seed = int(time.time()) if seed is None else seed
    logging.disable()
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError(f"longer than {SECONDS} s")))
    with tempfile.TemporaryDirectory() as folder:
        hit, repeated = kill_and_resume(Path(folder) / "killed", count=400, kills=10, seed=seed, workers=2)
        wrong = difference(extract(Path(folder) / "whole", 400), FeatureStore(Path(folder) / "killed"), 400)
        print(f"features: killed {hit} times while extracting (seed {seed}), {repeated} pictures computed twice, then "
              f"{'the store made in one go' if wrong is None else wrong}")  # fmt: skip
        outcomes, problems = fuzz(Path(folder), count, seed)
    for problem in problems[:20]:
        print(f"  {problem}")
    kinds = ", ".join(f"{kind} {outcome} {number:,}" for (kind, outcome), number in sorted(outcomes.items()))
    print(f"features: {count:,} damaged files (seed {seed}), {len(problems)} believed or not named: {kinds}")
    return int(bool(problems) or wrong is not None or repeated > hit * BATCH)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
