"""Captioning on several devices at once: a process for each, the photos dealt out, the captions in order."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioning.commands.own_packages import own_packages
from captioning.errors import UserError
from captioning.media.confined import READERS
from captioning.media.kinds import named_clip
from captioning.runtime.prefetch import chunks_of

if TYPE_CHECKING:
    from captioning.tasks.captioning.caption import Caption
    from captioning.tasks.captioning.captioner import Captioner

BATCHES = 4  # handed over at a time, so that one is read while another is described

_captioner: Captioner | None = None  # of this process, which has one device


def device_names(text: str | None) -> list[str | None]:
    """ "cuda:0,cuda:1" -> its parts; None, which leaves the choice, -> [None]."""
    return [None] if text is None else [name.strip() for name in text.split(",")]


def stream_on(
    devices: Sequence[str | None],
    model: str | Path | None,
    files: Iterable[Path],
    *,
    batch_size: int,
    details: bool = False,
    options: Mapping[str, Any],
    allow: Sequence[str] = (),
    precision: str = "32",
) -> Iterator[tuple[Path, list[Caption] | UserError]]:
    """`Captioner.stream` over files, on as many devices as are named. Raises UserError for one that is not there."""
    if len(devices) == 1:
        if isinstance(files, Sequence) and any(map(named_clip, files)):
            READERS.prepare()  # while the model is loaded
        from captioning.tasks.load import load_captioner

        captioner = load_captioner(model, device=devices[0], allow=allow, precision=precision)
        yield from captioner.stream(files, batch_size=batch_size, details=details, **options)
        return
    with ExitStack() as stack:
        context = get_context("spawn")  # a process that was forked cannot use CUDA
        pools = [ProcessPoolExecutor(1, mp_context=context, initializer=_leave_interrupts) for _ in devices]
        for pool in pools:
            stack.callback(pool.shutdown, cancel_futures=True)
        loading = (allow, precision)
        opened = [pool.submit(_open, model, device, *loading) for pool, device in zip(pools, devices, strict=True)]
        for device, future in zip(devices, opened, strict=True):
            _result(future, device)
        waiting: deque[tuple[Sequence[Path], Future, str | None]] = deque()
        for number, chunk in enumerate(chunks_of(files, BATCHES * batch_size)):
            place = number % len(devices)
            future = pools[place].submit(_caption, chunk, batch_size, details, dict(options))
            waiting.append((chunk, future, devices[place]))
            if len(waiting) >= 2 * len(devices):
                yield from _finished(*waiting.popleft())
        while waiting:
            yield from _finished(*waiting.popleft())


def _finished(chunk: Sequence[Path], future: Future, device: str | None) -> Iterator[tuple[Path, Any]]:
    return zip(chunk, _result(future, device), strict=True)


def _result(future: Future, device: str | None) -> Any:
    try:
        return future.result()
    except BrokenProcessPool:
        raise UserError(
            f"the process on {device} was ended, perhaps for want of memory: try a smaller --batch-size"
        ) from None


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops the others, and says so once


def _open(model: str | Path | None, device: str | None, allow: Sequence[str], precision: str) -> None:
    global _captioner
    from captioning.runtime.allocator import keep_freed_memory
    from captioning.tasks.load import load_captioner

    keep_freed_memory()
    _captioner = load_captioner(model, device=device, allow=own_packages(allow), precision=precision)


def _caption(files: Sequence[Path], batch_size: int, details: bool, options: Mapping[str, Any]) -> list[Any]:
    return [found for _, found in _captioner.stream(files, batch_size=batch_size, details=details, **options)]
