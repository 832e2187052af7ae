"""Pictures are read by threads while the model is busy with those before them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Read = TypeVar("Read")


def default_workers() -> int:
    """Threads that read: a few are enough, since a picture takes far longer to describe than to decode."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)


def chunks_of(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


def read_ahead(
    items: Iterable[Item], read: Callable[[Item], Read], *, batch_size: int, workers: int
) -> Iterator[list[tuple[Item, Read]]]:
    """Batches of (item, what `read` makes of it), in order; see `read_batches_ahead`."""
    return read_batches_ahead(chunks_of(items, batch_size), read, workers=workers)


def read_batches_ahead(
    chunks: Iterable[list[Item]], read: Callable[[Item], Read], *, workers: int
) -> Iterator[list[tuple[Item, Read]]]:
    """Each batch of `chunks` as (item, what `read` makes of it), in order; one is read while the last one is used.

    Never more than two batches are held. `chunks` are asked for in the caller's thread, one ahead of their use;
    without `workers` nothing happens ahead, so that a live stream is answered at once.
    """
    if workers < 1:
        for chunk in chunks:
            yield [(item, read(item)) for item in chunk]
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="captioning-reader") as pool:
        waiting: list[tuple[Item, Future[Read]]] | None = None
        try:
            for chunk in chunks:
                coming = [(item, pool.submit(read, item)) for item in chunk]
                del chunk
                if waiting is not None:
                    yield _finished(waiting)
                waiting = coming
                del coming
            if waiting is not None:
                yield _finished(waiting)
        finally:
            pool.shutdown(cancel_futures=True)


def _finished(waiting: list[tuple[Item, Future[Read]]]) -> list[tuple[Item, Read]]:
    """Takes what was read, and forgets it: the caller holds it from here on."""
    done = [(item, future.result()) for item, future in waiting]
    waiting.clear()
    return done
