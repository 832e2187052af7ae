"""Steps of a Transformer that PyTorch keeps in shards (fully_shard, gloo), beside a whole one: one process of two."""

from __future__ import annotations

import json
import os

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from captioning.decoders.transformer import Transformer, VisualEncoder
from captioning.layers.multi_head_attention import SelfAttention
from captioning.memory import VisualMemory


class Loss(nn.Module):
    """A decoder whose call is its loss, as the LightningModule's is."""

    def __init__(self, tied: bool):
        super().__init__()
        torch.manual_seed(0)
        sizes = {"visual_width": 32, "vocabulary_size": 90, "width": 32, "layers": 2, "heads": 4, "feed_forward": 64}
        self.decoder = Transformer(**sizes, encoder_layers=1, dropout=0.0, tied=tied)

    def forward(self, memory: VisualMemory, words: Tensor) -> Tensor:
        features, _ = self.decoder.forward_features(self.decoder.prepare(memory), words[..., :-1])
        return nn.functional.cross_entropy(self.decoder.forward_head(features).flatten(0, -2), words[..., 1:].flatten())


def batch(step: int, process: int) -> tuple[VisualMemory, Tensor]:
    dice = torch.Generator().manual_seed(2 * step + process)
    tokens = torch.randn(3, 5, 32, generator=dice)
    memory = VisualMemory(tokens, torch.ones(3, 5, dtype=torch.bool), tokens.mean(1))
    return memory, torch.randint(4, 90, (3, 2, 7), generator=dice)


def compared(tied: bool, parts: tuple[type, ...]) -> dict[str, float]:
    """Ten steps of both. -> the largest difference of losses and of gradients' norms; the share a process holds."""
    whole, shards = Loss(tied), Loss(tied)
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("shards",))
    for module in reversed(list(shards.modules())):  # the inner before the outer
        if isinstance(module, parts):
            fully_shard(module, mesh=mesh)
    fully_shard(shards, mesh=mesh)
    steps = [torch.optim.SGD(model.parameters(), 0.3) for model in (whole, shards)]
    apart = {"loss": 0.0, "norm": 0.0, "weights": 0.0}
    for step in range(10):
        loss = sum(whole(*batch(step, process)) for process in range(2)) / 2
        own = shards(*batch(step, dist.get_rank()))
        for optimizer, value in zip(steps, (loss, own), strict=True):
            optimizer.zero_grad()
            value.backward()
        norm, other = (nn.utils.clip_grad_norm_(model.parameters(), 0.5) for model in (whole, shards))
        for optimizer in steps:
            optimizer.step()
        mean = own.detach().clone()
        dist.all_reduce(mean)
        apart["loss"] = max(apart["loss"], abs(float(mean) / 2 - float(loss)))
        apart["norm"] = max(apart["norm"], abs(float(norm) - float(other.full_tensor())))
    for one, other in zip(whole.parameters(), shards.parameters(), strict=True):
        apart["weights"] = max(apart["weights"], float((one - other.full_tensor()).detach().abs().max()))
    held = sum(one.to_local().numel() for one in shards.parameters())
    return {**apart, "held": held / sum(p.numel() for p in whole.parameters())}


if __name__ == "__main__":
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    found = [compared(tied, parts) for tied in (False, True) for parts in ((), (SelfAttention, VisualEncoder))]
    if dist.get_rank() == 0:
        print(json.dumps(found), flush=True)
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # a thread of gloo that outlives the interpreter aborts the process now and then: "terminate called"
