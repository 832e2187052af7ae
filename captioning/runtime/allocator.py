"""Memory that a process has freed stays with it."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
LARGEST_BLOCK = 32 << 20  # bytes; the most that glibc takes for M_MMAP_THRESHOLD


def keep_freed_memory() -> bool:
    """Asks glibc not to hand freed blocks back to the kernel. -> whether it will; False on other systems.

    Left alone it returns every large tensor at once and has its pages zeroed again for the next one, which costs a
    fifth to a half of the time of CPU-bound work on tensors of some megabytes.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
