"""Change and cut a checkpoint at random bytes, and see that none is believed: make fuzz, or
PYTHONPATH=tests/support python tests/fuzz/fuzz_checkpoints.py [N] [SEED]"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import torch

from captioning.errors import UserError
from captioning.training.checkpoint_file import check_checkpoint, digest_file, replace_with_digest


def checkpoint(path: Path) -> None:
    """A small one, with all parts of a real one."""
    state = {f"layer{i}.weight": torch.randn(32, 32) for i in range(8)}
    parts = {"epoch": 1, "global_step": 9, "state_dict": state, "optimizer_states": [{"state": dict(state)}]}
    torch.save({**parts, "lr_schedulers": [], "loops": {}, "callbacks": {}}, path.with_name("new"))
    replace_with_digest(path.with_name("new"), path)


def believed(path: Path) -> bool:
    try:
        check_checkpoint(path)
    except UserError as error:
        if str(path) in str(error) and "\n" not in str(error):
            return False
    return True


def fuzz(folder: Path, count: int, seed: int) -> list[str]:
    """What was done to checkpoints that were believed; without a digest a flipped bit may be of no consequence."""
    dice, path, wrong = random.Random(seed), folder / "last.ckpt", []
    checkpoint(path)
    whole, digest = path.read_bytes(), digest_file(path).read_text()
    for _ in range(count):
        kind, at = dice.choice(("cut", "bit", "hole", "noise")), dice.randrange(len(whole))
        changed = bytearray(whole)
        if kind == "bit":
            changed[at] ^= 1 << dice.randrange(8)
        elif kind == "noise":
            changed[at : at + 64] = dice.randbytes(64)
        else:
            del changed[at : None if kind == "cut" else at + dice.choice((1, 100))]
        with_digest = kind in ("bit", "noise") or dice.random() < 0.5
        path.write_bytes(changed)
        digest_file(path).write_text(digest if with_digest else "")
        if changed != whole and believed(path) and (with_digest or kind == "cut"):
            wrong.append(f"{kind} at {at} of {len(whole)}, {'with' if with_digest else 'without'} a digest")
    return wrong


def main(count: int = 2000, seed: int | None = None) -> int:
    """-> exit status: 1 where a damaged checkpoint is believed."""
    seed = int(time.time()) if seed is None else seed
    wrong = fuzz(Path(tempfile.mkdtemp(prefix="fuzz-checkpoints-")), count, seed)
    print("\n".join(wrong[:20]))
    print(f"checkpoints: {count:,} damaged (seed {seed}), {len(wrong)} believed")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
