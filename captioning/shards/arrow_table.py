"""Parquet and Arrow tables whose rows are pictures: their bytes, a path, an address, or what `datasets` makes of them.

A folder that `datasets.Dataset.save_to_disk` wrote is Arrow files, which are read as such.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from captioning.errors import UserError
from captioning.files.disk_space import size_in_words
from captioning.files.regular import one_line
from captioning.files.web import SCHEMES as WEB
from captioning.files.web import fetched
from captioning.media.encoded import EncodedPicture
from captioning.shards.places import is_remote, joined, opened
from captioning.shards.record import Columns, Record
from captioning.shards.tar_file import MAX_MEMBER

IMAGES = (
    "image", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "picture", "img", "file", "file_name", "image_path",
    "path", "url",
)  # fmt: skip
IDS = ("id", "__key__", "key", "image_id", "uid", "sample_id", "file", "file_name", "path", "url")
CAPTIONS = ("caption", "captions", "text", "txt", "sentences")
ROWS = 64  # read at a time


def arrow_library() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise UserError("Parquet and Arrow take another package: pip install 'captioning[shards]'") from None
    return pyarrow


def saved_dataset(folder: Path) -> list[tuple[str, str]]:
    """(place, name) of the Arrow files of a folder of `datasets`, those of its splits in turn; none for another folder.

    Raises UserError where the folder is not whole.
    """
    try:
        if (folder / "dataset_dict.json").is_file():
            splits = json.loads((folder / "dataset_dict.json").read_text("utf-8"))["splits"]
            inside = [(split, _plain(folder, split)) for split in splits]
            return [(place, f"{split}-{name}") for split, one in inside for place, name in saved_dataset(one)]
        if not ((folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()):
            return []
        files = [entry["filename"] for entry in json.loads((folder / "state.json").read_text("utf-8"))["_data_files"]]
        return [(str(_plain(folder, name)), Path(name).stem) for name in files]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} is not a whole folder of `datasets` ({type(error).__name__}). Save it again."
        ) from None


def split_of(place: str) -> str | None:
    """The split that a file of a saved `DatasetDict` is of, by its folder; None for any other file."""
    folder = Path(place).parent
    return folder.name if not is_remote(place) and (folder.parent / "dataset_dict.json").is_file() else None


def _plain(folder: Path, name: Any) -> Path:
    if not isinstance(name, str) or os.path.basename(name) != name or name in ("", ".", ".."):
        raise UserError(f"{folder} names {name!r} as one of its files, which leads out of it. Save it again.")
    return folder / name


def batches(file: BinaryIO, place: str, wanted: list[str] | None = None) -> Iterator[Any]:
    """Record batches of ROWS rows at most. The first tells the schema. Raises UserError where it is no table."""
    arrow = arrow_library()
    import pyarrow.parquet as parquet

    try:
        if is_parquet(file):
            table = parquet.ParquetFile(file)
            names = None if wanted is None else [name for name in table.schema_arrow.names if name in wanted]
            if not table.metadata.num_rows:
                yield arrow.RecordBatch.from_pylist([], table.schema_arrow)
            yield from table.iter_batches(batch_size=ROWS, columns=names, use_threads=False)
            return
        source = file if is_remote(place) else arrow.memory_map(place)
        try:
            reader = arrow.ipc.open_file(source)
            parts = (reader.get_batch(i) for i in range(reader.num_record_batches))
        except arrow.ArrowInvalid:
            source.seek(0)
            parts = reader = arrow.ipc.open_stream(source)
        empty = True
        for part in parts:
            empty = False
            for start in range(0, part.num_rows, ROWS):
                yield part.slice(start, ROWS)
        if empty:
            yield arrow.RecordBatch.from_pylist([], reader.schema)
    except (arrow.ArrowException, OSError, ValueError) as error:
        said = one_line(" ".join(str(error).split())[:150])
        raise UserError(f"{place} is no table, or is damaged ({said}). Copy it again, or make it anew.") from None


def is_parquet(file: BinaryIO) -> bool:
    """Whether a file begins as Parquet does. It is at its beginning afterwards."""
    head = file.read(4)
    file.seek(0)
    return head == b"PAR1"


def columns_of(schema: Any, given: Columns, place: str) -> dict[str, str | None]:
    """What the columns of this table are called. Raises UserError where there is none with pictures."""
    names = schema.names
    found: dict[str, str | None] = {}
    for what, usual in (("image", IMAGES), ("id", IDS), ("caption", CAPTIONS), ("split", ("split",))):
        asked = getattr(given, what)
        found[what] = asked if asked is not None else next((name for name in usual if name in names), None)
        if asked is not None and asked not in names:
            raise UserError(f"{place} has no column {asked}; it has {_listed(names)}. Name the one with the {what}.")
    if found["image"] is None:
        raise UserError(f"{place} has no column with pictures; it has {_listed(names)}. Name it: --image-column NAME.")
    if found["id"] == found["image"]:
        kind = str(schema.field(found["image"]).type)
        found["id"] = found["image"] if kind in ("string", "large_string") else None
    return found


def _listed(names: list[str]) -> str:
    return one_line(", ".join(names)[:120]) or "none"


def records(place: str, given: Columns) -> Iterator[Record]:
    """The pictures of a table in order. Raises UserError where it is none, or has not the columns asked for."""
    with opened(place) as file:
        number, columns, seen = 0, None, set()
        for batch in batches(file, place):
            if columns is None:
                columns = columns_of(batch.schema, given, place)
            values = {what: batch.column(name) for what, name in columns.items() if name is not None}
            for i in range(batch.num_rows):
                key = str(values["id"][i].as_py()) if "id" in values else f"{number:08d}"
                number += 1
                if hash(key) in seen:
                    yield Record(key, error=f"{place}: the id {one_line(key)} is there twice. Give each row its own.")
                    continue
                seen.add(hash(key))
                yield record_of(key, values["image"][i], place, number)


def record_of(key: str, value: Any, place: str, number: int) -> Record:
    """What an Arrow value of the column with pictures stands for."""
    where = f"{place}, row {number}"
    if value.is_valid and str(value.type) in ("binary", "large_binary") and len(value.as_buffer()) > MAX_MEMBER:
        size = size_in_words(len(value.as_buffer()))
        return Record(
            key, error=f"{where}: a picture of {size}, and none may have more than {size_in_words(MAX_MEMBER)}."
        )
    content = value.as_py()
    if isinstance(content, dict):  # what `datasets` calls an Image
        content = content.get("bytes") or content.get("path")
    if isinstance(content, bytes):
        return Record(key, EncodedPicture(where, content))
    if isinstance(content, str) and content:
        return Record(key, picture_at(content, place))
    return Record(key, error=f"{where} has no picture. Give its bytes, a path or an address.")


def picture_at(text: str, table: str) -> EncodedPicture | Path:
    """The picture at a path, which is seen from the folder of the table, or at an address."""
    if text.partition("://")[0].lower() in WEB:
        return EncodedPicture(text, lambda: fetched(text))
    if is_remote(text):
        return EncodedPicture(text, lambda: remote(text))
    if is_remote(table) and not os.path.isabs(text):
        place = joined(table.rpartition("/")[0], text)
        return EncodedPicture(place, lambda: remote(place))
    return Path(table).parent / text


def remote(place: str) -> bytes:
    """The content of a picture's file in a store. Raises UserError where it is larger than a photo is."""
    with opened(place) as file:
        content = file.read(MAX_MEMBER + 1)
    if len(content) > MAX_MEMBER:
        raise UserError(f"{place} has more than {size_in_words(MAX_MEMBER)}, which no photo has. Make it smaller.")
    return content
