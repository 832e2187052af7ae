"""Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685) by `peft`: small matrices learn, the weights stay."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import torch
from torch import nn

from captioning.errors import UserError
from captioning.models.bundle import Bundle
from captioning.models.low_rank import LowRank, save_changes
from captioning.tasks.load import find_bundle, has_changes

log = logging.getLogger("captioning")


def add_low_rank(decoder: nn.Module, *, rank: int, alpha: float, dropout: float) -> None:
    """Puts matrices of `rank` beside every linear layer inside the decoder's layers, which alone learn from now on.

    Raises UserError where peft is missing, or the decoder has no such layers.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise UserError("lora.rank needs: pip install captioning[lora]") from None
    if rank < 1:
        raise UserError(f"lora.rank is {rank}: it is 1 or more, or 0 for none")
    layers = [
        name for name, part in decoder.named_modules() if isinstance(part, nn.Linear) and not name.startswith("predict")
    ]
    if not layers:
        raise UserError(f"lora.rank: {type(decoder).__name__} has no linear layers to put matrices beside")
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=layers)
    inject_adapter_in_model(config, decoder)
    for name, parameter in decoder.named_parameters():
        parameter.requires_grad_(".lora_" in name)


def low_rank_of(decoder: nn.Module) -> LowRank:
    """What the matrices have learned, before they are merged."""
    from peft.tuners.lora import LoraLayer

    layers = {name: part for name, part in decoder.named_modules() if isinstance(part, LoraLayer)}
    (key, scale), *_ = next(iter(layers.values())).scaling.items()
    down = {f"{name}.weight": part.lora_A[key].weight.detach().clone() for name, part in layers.items()}
    up = {f"{name}.weight": part.lora_B[key].weight.detach().clone() for name, part in layers.items()}
    return LowRank(down, up, float(scale))


def save_small(folder: Path, bundle: Bundle, changes: LowRank, start: str, *, card: str) -> bool:
    """Writes the changes alone, if they and the model `start` are all of the finished one. -> whether they are."""
    if has_changes(start) or Path(start).is_file():
        log.info(f"start={start} is no whole model: the new one is written whole")
        return False
    base = find_bundle(start)
    finished = {**named("encoder.", bundle.encoder), **named("task.", bundle.task)}
    small = copy.copy(base)
    small.task = copy.deepcopy(base.task)
    try:
        changes.add_to(small.task.decoder)
    except ValueError:
        pass
    again = {**named("encoder.", small.encoder), **named("task.", small.task)}
    same = finished.keys() == again.keys() and all(
        part.shape == again[name].shape and torch.allclose(part.cpu().float(), again[name].float(), atol=1e-5)
        for name, part in finished.items()
    )
    if not same:
        log.info(f"more than the matrices beside {start} has changed: the model is written whole")
        return False
    save_changes(folder, bundle, changes, base, start, card=card)
    return True


def named(prefix: str, module: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a module, its names behind a prefix."""
    return {f"{prefix}{name}": part for name, part in module.state_dict().items()}


def merge_low_rank(decoder: nn.Module) -> None:
    """Adds what the matrices have learned to the weights, and takes them away: an ordinary decoder."""
    from peft.tuners.lora import LoraLayer

    for name, part in list(decoder.named_modules()):
        if isinstance(part, LoraLayer):
            part.merge()
            place, _, last = name.rpartition(".")
            parent = decoder.get_submodule(place)
            parent._modules[last] = part.get_base_layer()
    decoder.requires_grad_(True)
