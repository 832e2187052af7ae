"""Captions of whole shards by one model: what a process does, alone or as one of a cluster's."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from captioning.commands.caption import sure_enough
from captioning.errors import UserError
from captioning.files.terminal import harmless
from captioning.shards.outputs import Rows, output, write_stats
from captioning.shards.places import identity
from captioning.shards.record import Columns, Record
from captioning.shards.shard import Shard, records

MOST_NAMED = 20  # errors of a shard that its stats repeat


@dataclass(frozen=True)
class Work:
    """How shards are captioned: plain data, which goes to other machines as it is."""

    model: str | None
    options: Mapping[str, Any]  # of the generation
    folder: str
    format: str
    columns: Columns = Columns()
    batch_size: int = 16
    min_confidence: float | None = None
    precision: str = "32"
    called: str = ""  # the model, in every row
    allow: Sequence[str] = ()  # own packages whose classes it may use


@dataclass
class _Open:
    """A shard that is being read or written."""

    shard: Shard
    name: str
    identity: str | None
    read: int = 0  # records so far
    ended: bool = False  # read to its end
    failed: str | None = None  # why nothing of it can be read
    written: int = 0
    rows: int = 0
    errors: list[str] = field(default_factory=list)
    wrong: int = 0
    broken: bool = False
    output: Rows | None = None
    closing: ExitStack = field(default_factory=ExitStack)


def open_captioner(work: Work, device: str | None) -> Any:
    """The model, ready. Raises UserError where it writes no captions."""
    from captioning.runtime.allocator import keep_freed_memory
    from captioning.tasks.load import load_captioner

    keep_freed_memory()
    return load_captioner(work.model, device=device, precision=work.precision, allow=work.allow)


def caption_shards(captioner: Any, shards: Iterable[tuple[Shard, str]], work: Work) -> Iterator[dict[str, Any]]:
    """Captions each shard into the output of its name. -> what is said of each when it is done, in order.

    Batches never span two shards, so that a picture is captioned in the same company wherever its shard is; but the
    next shard is read while the last batches of this one are captioned. A shard of which nothing can be read has
    "failed" in place of counts, and no output.
    """
    waiting: list[_Open] = []

    def batches() -> Iterator[list[tuple[_Open, Record]]]:
        for shard, name in shards:
            one = _Open(shard, name, None)
            waiting.append(one)
            batch: list[tuple[_Open, Record]] = []
            try:
                one.identity = identity(shard.place)
                for record in records(shard, work.columns, keep=work.format == "webdataset"):
                    one.read += 1
                    batch.append((one, record))
                    if len(batch) == work.batch_size:
                        yield batch
                        batch = []
            except UserError as error:
                if one.read:  # what came before is kept, as of a shard that was cut short
                    batch.append((one, Record("", error=str(error))))
                    one.read += 1
                else:
                    one.failed = str(error)
            one.ended = True
            if batch:
                yield batch
            elif one.written == one.read:
                yield []  # nobody else would look whether it is done

    told = dict(work.options)
    if "rerank" in told and Path(told["rerank"]).is_absolute():  # where it is here is nobody's business
        told["rerank"] = Path(told["rerank"]).name
    constant = {"model": work.called, "options": json.dumps(told, sort_keys=True)}
    try:
        for batch in captioner.stream_batches(batches(), look=_picture, **work.options):
            for (one, record), found in batch:
                _write(one, record, found, work, constant)
            while waiting and waiting[0].ended and waiting[0].written == waiting[0].read:
                yield _finished(waiting.pop(0), work)
        while waiting:  # where nothing is read ahead, the end of a shard is seen after its last batch
            yield _finished(waiting.pop(0), work)
    finally:
        for one in waiting:
            one.closing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def _picture(item: tuple[_Open, Record]) -> Any:
    record = item[1]
    return UserError(record.error) if record.error is not None else record.picture


def _write(one: _Open, record: Record, found: Any, work: Work, constant: dict[str, str]) -> None:
    if one.output is None:
        one.output = one.closing.enter_context(output(work.folder, one.name, work.format))
    one.written += 1
    if isinstance(found, UserError):
        error = harmless(str(found))
        one.wrong += 1
        one.broken |= not record.key
        one.errors += [error] if len(one.errors) < MOST_NAMED else []
        rows = [{"id": record.key, "caption": None, "score": None, **constant, "error": error}]
    else:
        rows = [
            {
                "id": record.key,
                "caption": harmless(caption.text),
                "score": caption.score if math.isfinite(caption.score) else None,
                **constant,
                "error": None,
            }
            for caption in sure_enough(found, work.min_confidence)
        ]
    one.rows += len(rows)
    one.output.write(record, rows)


def _finished(one: _Open, work: Work) -> dict[str, Any]:
    said = {"shard": one.shard.place, "name": one.name}
    if one.failed:
        return {**said, "failed": one.failed}
    if one.output is None:  # a shard without pictures has an output without rows
        one.output = one.closing.enter_context(output(work.folder, one.name, work.format))
    one.closing.close()
    stats = {**said, "identity": one.identity, "rows": one.rows, "errors": one.wrong, "broken": one.broken}
    stats |= {"first_errors": one.errors}
    write_stats(work.folder, one.name, stats)
    return stats
