"""In how many bits a finished model computes: single precision, or bfloat16 where the processor has it in hardware."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from captioning.errors import UserError

PRECISIONS = ("32", "bf16", "auto")
FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # of /proc/cpuinfo; the last is ARM's


@cache
def processor_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself. One that does not is tens of times slower in it."""
    known = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    if any(ask is not None and ask() for ask in known):
        return True
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return any(flag in flags for flag in FLAGS)


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 in hardware."""
    if device.type == "cpu":
        return processor_has_bf16()
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def working_precision(asked: str, device: torch.device, *, equal: bool) -> str:
    """ "32" or "bf16". `auto` is bf16 where the device has it and the model's scores are `equal` in it.

    Raises UserError for another word, and for bf16 on a device that would be slower in it.
    """
    asked = str(asked)
    if asked not in PRECISIONS:
        raise UserError(f"precision={asked}: it is {', '.join(PRECISIONS)}")
    if asked == "auto":
        return "bf16" if equal and has_bf16(device) else "32"
    if asked == "bf16" and not has_bf16(device):
        raise UserError(
            f"precision=bf16: this {device.type} has no bfloat16 in hardware and would be slower. Leave it out"
        )
    return asked


@contextmanager
def computing_in(precision: str, device: torch.device) -> Iterator[None]:
    """What is inside computes its products in this precision; those who score words do so in single."""
    if precision != "bf16":
        yield
        return
    with torch.autocast(device.type, dtype=torch.bfloat16):
        yield
