"""What is in a shard and where, so that any picture of it can be read alone: what training from shards goes by.

An index reads the headers and the texts of a tar, and of a table the columns without pictures.
"""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captioning.errors import UserError
from captioning.files.regular import one_line
from captioning.media.encoded import EncodedPicture
from captioning.shards import arrow_table, tar_file
from captioning.shards.places import file_system, is_remote, opened
from captioning.shards.record import Columns
from captioning.shards.shard import Shard

TEXTS = ("txt", "json")  # of a tar, where nobody says in which its captions are: the first that says something
CACHE = 256 * 2**20  # bytes of tables' parts that a process keeps


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture of a shard, unread. One with an `error` cannot be read, or says nothing that makes sense."""

    key: str
    captions: tuple[str, ...] = ()
    split: str | None = None
    at: tuple[int, int] = (0, 0)  # of a tar offset and bytes, of a table its part and the row in that
    error: str | None = None


def entries(shard: Shard, columns: Columns, texts: Sequence[str] | None = None) -> Iterator[Entry]:
    """The pictures of a shard in order, and what people said of them.

    `texts` are the members of a tar with captions (`tar_file.captions_of`); `columns.split` is one as well there. What
    is wrong is an entry with an error. Raises UserError where the shard is no such thing at all.
    """
    if shard.kind == "list":
        raise UserError(f"{shard.place} is a list and has no captions: name .tar, .parquet or .arrow files.")
    if shard.kind == "table":
        yield from _of_table(shard.place, columns)
        return
    with opened(shard.place) as file:
        yield from _of_tar(file, shard.place, texts, columns.split)


def _of_tar(file: Any, place: str, texts: Sequence[str] | None, split: str | None) -> Iterator[Entry]:
    told = tar_file.Told(place)
    size = file.seek(0, 2)
    file.seek(0)
    try:
        for sample in tar_file.samples(file, place):
            photo = tar_file.picture_member(sample)
            defect, said, part = told.defect(sample, photo), (), None
            if defect == "":
                continue
            key = sample[0].key
            try:
                if defect is None:
                    assert photo is not None
                    if photo.error or photo.offset + photo.size > size:
                        tar_file.content_of(file, photo, place)  # which says what is wrong
                    said = _said(file, sample, texts, place)
                    part = next(iter(tar_file.captions_of(file, sample, [split], place)), None) if split else None
            except tar_file.BrokenShard:
                yield Entry(key, error=f"{place} is cut short within the sample {one_line(key)}")
                raise
            except UserError as error:
                defect = str(error)
            yield Entry(key, said, part, (photo.offset, photo.size) if photo else (0, 0), defect)
    except tar_file.BrokenShard as error:
        yield Entry("", error=str(error))
    if remark := told.remark():
        yield Entry("", error=remark)


def _said(file: Any, sample: Sequence[tar_file.Member], texts: Sequence[str] | None, place: str) -> tuple[str, ...]:
    if texts is not None:
        return tar_file.captions_of(file, sample, texts, place)
    found = (tar_file.captions_of(file, sample, [one], place) for one in TEXTS)
    return next(filter(None, found), ())


def _of_table(place: str, given: Columns) -> Iterator[Entry]:
    with TableFile(place) as table:
        names = arrow_table.columns_of(table.schema, given, place)
        split = arrow_table.split_of(place)
        wanted = {what: name for what, name in names.items() if what != "image" and name is not None}
        number, seen = 0, set()
        for part in range(table.parts):
            rows = table.part(part, sorted(set(wanted.values()))) if wanted else None
            values = {what: rows.column(name).to_pylist() for what, name in wanted.items()} if rows else {}
            for row in range(table.rows(part)):
                key = str(values["id"][row]) if "id" in values else f"{number:08d}"
                number += 1
                said, error = _texts(values["caption"][row] if "caption" in values else None, f"{place}, row {number}")
                if key in seen:
                    error = f"{place}: the id {one_line(key)} is there twice. Give each row its own."
                seen.add(key)
                mine = values["split"][row] if "split" in values else split
                yield Entry(key, said, None if mine is None else str(mine), (part, row), error)


def _texts(value: Any, where: str) -> tuple[tuple[str, ...], str | None]:
    said = [value] if isinstance(value, str) else [] if value is None else value
    if isinstance(said, list) and all(isinstance(one, str) for one in said):
        return tuple(said), None
    return (), f"{where}: the caption is {one_line(repr(value))[:60]}, and should be text or a list of texts."


class TableFile:
    """A table of which any part can be read alone: row groups of Parquet, record batches of Arrow.

    Raises UserError where it is none.
    """

    def __init__(self, place: str):
        self.place, self.closing = place, ExitStack()
        arrow = arrow_table.arrow_library()
        import pyarrow.parquet as parquet

        file = self.closing.enter_context(opened(place))
        try:
            self.parquet = parquet.ParquetFile(file) if arrow_table.is_parquet(file) else None
            if self.parquet is not None:
                self.schema, self.parts = self.parquet.schema_arrow, self.parquet.num_row_groups
                return
            source = file if is_remote(place) else self.closing.enter_context(arrow.memory_map(place))
            try:
                reader = arrow.ipc.open_file(source)
                self.batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
            except arrow.ArrowInvalid:
                source.seek(0)
                reader = arrow.ipc.open_stream(source)
                self.batches = list(reader)
            self.schema, self.parts = reader.schema, len(self.batches)
        except (arrow.ArrowException, OSError, ValueError) as error:
            self.closing.close()
            raise self._no_table(error) from None

    def __enter__(self) -> TableFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.batches = []
        self.closing.close()

    def rows(self, part: int) -> int:
        return self.batches[part].num_rows if self.parquet is None else self.parquet.metadata.row_group(part).num_rows

    def part(self, number: int, columns: list[str]) -> Any:
        """Those columns of a part, as a table. Raises UserError where it is damaged."""
        arrow = arrow_table.arrow_library()
        try:
            if self.parquet is None:
                return arrow.Table.from_batches([self.batches[number]]).select(columns)
            return self.parquet.read_row_group(number, columns=columns, use_threads=False)
        except (arrow.ArrowException, OSError, ValueError) as error:
            raise self._no_table(error) from None

    def _no_table(self, error: Exception) -> UserError:
        said = one_line(" ".join(str(error).split())[:150])
        return UserError(f"{self.place} is no table, or is damaged ({said}). Copy it again, or make it anew.")


class Pictures:
    """Reads pictures of shards one by one, from any thread; of tables it keeps some parts, in each process its own."""

    def __init__(self, columns: Columns):
        self.columns, self.lock, self.process = columns, threading.Lock(), os.getpid()
        self.tables: dict[str, tuple[TableFile, str]] = {}
        self.parts: OrderedDict[tuple[str, int], Any] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"columns": self.columns}  # another process opens what it needs itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["columns"])  # type: ignore[misc]

    def read(self, shard: Shard, entry_key: str, at: tuple[int, int]) -> EncodedPicture | Path:
        """The picture that an index found at `at`. Raises UserError where it is not there any more."""
        return self._of_table(shard.place, entry_key, at) if shard.kind == "table" else _of_tar_at(shard, entry_key, at)

    def _of_table(self, place: str, key: str, at: tuple[int, int]) -> EncodedPicture | Path:
        with self.lock:
            if self.process != os.getpid():  # an open file that two processes read has one position for both
                self.tables, self.parts, self.process = {}, OrderedDict(), os.getpid()
            value = self._part(place, at[0])[at[1]]
        record = arrow_table.record_of(key, value, place, at[1] + 1)
        if record.picture is None:
            raise UserError(str(record.error))
        return record.picture

    def _part(self, place: str, number: int) -> Any:
        if (place, number) not in self.parts:
            if place not in self.tables:
                table = TableFile(place)
                name = arrow_table.columns_of(table.schema, self.columns, place)["image"]
                self.tables[place] = table, str(name)
            table, name = self.tables[place]
            self.parts[place, number] = table.part(number, [name]).column(name)
            while len(self.parts) > 1 and sum(part.nbytes for part in self.parts.values()) > CACHE:
                self.parts.popitem(last=False)
            while len(self.tables) > 64:  # files that are open
                first = next(iter(self.tables))
                if first != place:
                    for other in [one for one in self.parts if one[0] == first]:
                        del self.parts[other]
                self.tables.pop(first)
        self.parts.move_to_end((place, number))
        return self.parts[place, number]


def _of_tar_at(shard: Shard, key: str, at: tuple[int, int]) -> EncodedPicture:
    offset, size = at
    if is_remote(shard.place):
        files, inside = file_system(shard.place)
        try:
            content = files.cat_file(inside, start=offset, end=offset + size)
        except Exception as error:  # a store's client raises nearly anything
            said = one_line(" ".join(str(error).split())[:200])
            raise UserError(f"{shard.place} cannot be read ({said}). Check the address.") from error
    else:
        with opened(shard.place) as file:
            file.seek(offset)
            content = file.read(size)
    if len(content) < size:
        raise UserError(f"{shard.place} is shorter than when the run began. Copy it again.")
    return EncodedPicture(f"{shard.place}: {one_line(key)}", content)


def as_file(picture: EncodedPicture | Path) -> io.BytesIO | Path:
    """What a picture is opened from, with its name for messages."""
    if isinstance(picture, Path):
        return picture
    file = io.BytesIO(picture.bytes())
    file.name = picture.name
    return file
