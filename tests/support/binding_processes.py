"""Gradients of a task of several senses by one process on a whole batch, and by two that hold unequal parts of it, one
of which has no sound: python FILE, prints the largest difference."""

import os
import socket
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import torch  # noqa: E402
from tiny_binding import tiny_binding  # noqa: E402
from torch import distributed  # noqa: E402

from captioning.data.senses import SensedExample  # noqa: E402
from captioning.data.source import Source  # noqa: E402
from captioning.media.depth_map import DepthMap  # noqa: E402
from captioning.media.sound import Sound  # noqa: E402
from captioning.memory import VisualMemory  # noqa: E402

HAVE = [("sound",), (), ("sound", "depth"), ("depth",), ("depth",)]  # the last two are the second process's
CAPTIONS = [("a dog",), ("the red ball", "a cat"), (), ("water",), ("a cat on grass", "the dog")]
EXAMPLES = [SensedExample(i, f"{i}.png", CAPTIONS[i], senses=HAVE[i]) for i in range(5)]


class Noise(Source):
    name = "noise"

    def sound(self, example):
        return Sound.of(torch.randn(8000, generator=torch.Generator().manual_seed(example.id)).numpy() / 9, 16_000)

    def depth(self, example):
        return DepthMap.of(torch.rand(16, 16, generator=torch.Generator().manual_seed(example.id)).numpy() * 5)


def gradients(first: int, last: int) -> torch.Tensor:
    """Of all parameters on the examples of this process, averaged over processes."""
    task = tiny_binding(pairs=[["image", "text"], ["image", "sound"], ["image", "depth"], ["sound", "depth"]]).double()
    task.read_from(Noise())
    tokens = torch.randn(5, 4, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)[first:last]
    memory = VisualMemory(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool), tokens.mean(1))
    some = EXAMPLES[first:last]
    task.loss(memory, task.targets(some, 0), [example.id for example in some])[0].backward()
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in task.parameters()]
    flat = torch.cat([part.flatten() for part in parts])
    if distributed.is_initialized():
        distributed.all_reduce(flat)
        flat /= distributed.get_world_size()
    return flat


def main() -> int:
    whole = gradients(0, 5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first = os.fork()
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=0 if first else 1, world_size=2)
    difference = float((gradients(*((0, 3) if first else (3, 5))) - whole).abs().max() / whole.abs().max())
    os.write(1, f"{difference}\n".encode())
    distributed.destroy_process_group()
    if not first:
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
