"""Peak memory of a contrastive loss and its gradient, in MB: python FILE COUNT [BLOCK]."""

import os
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from captioning.tasks.embedding.objectives import contrastive  # noqa: E402


def peak() -> float:
    """Of this process so far. What getrusage tells begins with that of the process that started it."""
    return float(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def main(count: int, block: int | None) -> None:
    def step(count: int, block: int | None) -> None:
        u, v = (F.normalize(torch.randn(count, 16), dim=-1).requires_grad_() for _ in "uv")
        contrastive(u, v, torch.arange(count), torch.tensor(20.0), block=block).backward()

    step(64, 16 if block else None)  # what the libraries need for themselves
    before = peak()
    step(count, block)
    print(peak() - before)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
