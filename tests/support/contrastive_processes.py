"""Gradients of one process on a whole batch, and of two that hold unequal parts of it: python FILE, prints the largest
difference. A linear map of the inputs stands for the towers; gradients are averaged as DDP does it."""

import os
import socket
import sys

os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import distributed  # noqa: E402

from captioning.tasks.embedding.objectives import contrastive, gathered, hardest_negative, pairwise_sigmoid  # noqa: E402

OWNER = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4])
LOSSES = {
    "contrastive": lambda u, v, owner, scale: contrastive(u, v, owner, scale),
    "sigmoid": lambda u, v, owner, scale: pairwise_sigmoid(u, v, owner, scale, torch.tensor(-3.0)),
    "hardest": lambda u, v, owner, scale: hardest_negative(u, v, owner, margin=1.5),
}


def gradients(name: str, images: slice, texts: slice) -> torch.Tensor:
    """Of all parameters, on this process's part, averaged over processes. -> (P,)."""
    torch.manual_seed(0)
    x, y = torch.randn(5, 7), torch.randn(8, 7)
    look, read, scale = torch.randn(7, 4), torch.randn(7, 4), torch.tensor(4.0)
    parameters = [parameter.requires_grad_() for parameter in (look, read, scale)]
    u, v = F.normalize(x[images] @ look, dim=-1), F.normalize(y[texts] @ read, dim=-1)
    LOSSES[name](*gathered(u, v, OWNER[texts] - images.start), scale).backward()
    flat = torch.cat([torch.zeros(1) if p.grad is None else p.grad.flatten() for p in parameters])
    if distributed.is_initialized():
        distributed.all_reduce(flat)
        flat /= distributed.get_world_size()
    return flat


def main() -> int:
    alone = {name: gradients(name, slice(0, 5), slice(0, 8)) for name in LOSSES}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first = os.fork()
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=0 if first else 1, world_size=2)
    part = (slice(0, 2), slice(0, 3)) if first else (slice(2, 5), slice(3, 8))
    for name, whole in alone.items():
        difference = float((gradients(name, *part) - whole).abs().max() / whole.abs().max())
        os.write(1, f"{name} {difference}\n".encode())  # at once, or lines of both processes would mix
    distributed.destroy_process_group()
    if not first:
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
