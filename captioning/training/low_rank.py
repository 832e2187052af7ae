"""Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685) by `peft`: small matrices learn, the weights stay."""

from __future__ import annotations

from torch import nn

from captioning.errors import UserError


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
