"""Captions of a shard as a file of their own: Parquet, JSON lines, or the shard again with captions in it.

Each output is there whole or not at all. What was done of a shard stands in NAME.stats.json beside it, which is
written last: a shard without it, or that was another file then, is done again. manifest.json says for all of them
what made them. Imports no torch.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol

from captioning.errors import UserError
from captioning.files.terminal import harmless
from captioning.shards.arrow_table import arrow_library
from captioning.shards.places import identity, joined, names_in, read_all, whole_file
from captioning.shards.record import Record
from captioning.shards.shard import Shard

ENDINGS = {"parquet": ".parquet", "jsonl": ".jsonl", "webdataset": ".tar"}
MANIFEST, STATS = "manifest.json", ".stats.json"
ROW_GROUP = 4096  # rows that are held before they are written


class Rows(Protocol):
    """Where the rows of one shard go."""

    def write(self, record: Record, rows: Sequence[dict[str, Any]]) -> None:
        """All that is said of a picture: id, caption, score, model, options and error, one row a caption."""

    def close(self) -> None: ...


class JsonLines:
    """One object a line."""

    def __init__(self, file: BinaryIO):
        self.file = file

    def write(self, record: Record, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            self.file.write(f"{json.dumps(row)}\n".encode())

    def close(self) -> None:
        """Nothing is left."""


class ParquetRows:
    """A table in row groups of ROW_GROUP rows."""

    def __init__(self, file: BinaryIO):
        arrow = arrow_library()
        import pyarrow.parquet as parquet

        text = arrow.string()
        kinds = {"id": text, "caption": text, "score": arrow.float64(), "model": text, "options": text, "error": text}
        self.schema, self.rows = arrow.schema(list(kinds.items())), []
        self.table, self.make = parquet.ParquetWriter(file, self.schema), arrow.RecordBatch.from_pylist

    def write(self, record: Record, rows: Sequence[dict[str, Any]]) -> None:
        self.rows += [{**row, "id": row["id"].encode("utf-8", "backslashreplace").decode()} for row in rows]
        if len(self.rows) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        self.table.write_batch(self.make(self.rows, self.schema))
        self.rows = []

    def close(self) -> None:
        if self.rows:
            self._flush()
        self.table.close()


class CaptionedTar:
    """The shard's own files, and behind those of each sample KEY.caption.txt and KEY.caption.json.

    What could not be captioned has KEY.caption.json with the error alone.
    """

    def __init__(self, file: BinaryIO):
        self.tar = tarfile.open(fileobj=file, mode="w|", format=tarfile.GNU_FORMAT)

    def write(self, record: Record, rows: Sequence[dict[str, Any]]) -> None:
        time = 0.0
        for member, content in record.members:
            if member.extension not in ("caption.txt", "caption.json"):  # of a shard that was captioned before
                time = member.time
                self._add(member.name, content, time)
        if not record.key:
            return
        best, *others = rows
        about = {**best, "captions": [row["caption"] for row in rows]} if others else best
        if best["caption"] is not None:
            self._add(f"{record.key}.caption.txt", "".join(f"{row['caption']}\n" for row in rows).encode(), time)
        self._add(f"{harmless(record.key)}.caption.json", json.dumps(about).encode(), time)

    def _add(self, name: str, content: bytes, time: float) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = len(content), int(time), 0o644
        self.tar.addfile(info, io.BytesIO(content))

    def close(self) -> None:
        self.tar.close()


FORMATS = {"parquet": ParquetRows, "jsonl": JsonLines, "webdataset": CaptionedTar}


def require_format(format: str, shards: Sequence[Shard]) -> None:
    """Raises UserError where a shard cannot be written so."""
    if format not in FORMATS:
        raise UserError(f"--format {format}: captions of shards are written as {', '.join(FORMATS)}")
    if format == "parquet":
        arrow_library()
    others = [shard.place for shard in shards if shard.kind != "tar"]
    if format == "webdataset" and others:
        raise UserError(
            f"--format webdataset: {others[0]} is no .tar that captions could be added to: --format parquet"
        )


@contextmanager
def output(folder: str, name: str, format: str) -> Iterator[Rows]:
    """The output of one shard, there when the block ends well."""
    with whole_file(joined(folder, name + ENDINGS[format])) as file:
        rows = FORMATS[format](file)
        yield rows
        rows.close()


def write_stats(folder: str, name: str, stats: dict[str, Any]) -> None:
    """Says of a shard that it is done, once its output is there."""
    write_json(joined(folder, name + STATS), stats)


def write_json(place: str, content: Any) -> None:
    """A small file, whole or not at all."""
    with whole_file(place) as file:
        file.write((json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def read_json(place: str) -> Any:
    """None where it is absent, or is no JSON."""
    content = read_all(place)
    try:
        return None if content is None else json.loads(content)
    except ValueError:
        return None


def done(folder: str, format: str) -> dict[str, dict[str, Any]]:
    """Name of an output -> its stats, of the outputs that are whole: those whose file and stats are there."""
    names = names_in(folder)
    stems = [name[: -len(STATS)] for name in names if name.endswith(STATS)]
    whole = {stem: read_json(joined(folder, stem + STATS)) for stem in stems if stem + ENDINGS[format] in names}
    return {stem: stats for stem, stats in whole.items() if isinstance(stats, dict) and "shard" in stats}


def is_done(stats: dict[str, Any] | None, shard: Shard) -> bool:
    """Whether an output is that of the shard as it is today."""
    return stats is not None and stats["shard"] == shard.place and stats.get("identity") == identity(shard.place)


def agree(folder: str, about: dict[str, Any], *, overwrite: bool) -> None:
    """Writes what makes the outputs of a folder. Raises UserError where others are there that were made otherwise."""
    place = joined(folder, MANIFEST)
    there = read_json(place)
    if isinstance(there, dict) and not overwrite:
        differing = [key for key in about if there.get("made", {}).get(key) != about[key]]
        if differing:
            was, now = (str(one.get(differing[0]))[:80] for one in (there.get("made", {}), about))
            raise UserError(
                f"{folder} holds captions made with {differing[0]} {was}, and now it would be {now}: choose another "
                "--output, or --overwrite"
            )
        return
    write_json(place, {"made": about, "shards": {}})


def summarise(folder: str, about: dict[str, Any], format: str) -> dict[str, int]:
    """Writes the manifest of all that is done. -> shards, rows and errors in all."""
    shards = done(folder, format)
    totals = {"shards": len(shards)} | {key: sum(one[key] for one in shards.values()) for key in ("rows", "errors")}
    write_json(joined(folder, MANIFEST), {"made": about, **totals, "outputs": shards})
    return totals
