"""A part of a feature store: what one process wrote. Nobody else ever writes into it, so nothing has to be locked.

A folder with
    index.bin    one record of 48 bytes a picture, see RECORD
    origins.bin  what tells each picture from others of its id, see ORIGIN; not in the first two versions
    ids.jsonl    the ids, one a line
    tokens.bin   float16 (sum of N, D), one picture after the other
    pooled.bin   float16 (pictures, D)
    boxes.bin, times.bin, scores.bin, classes.bin   (sum of N, 4) or (sum of N,), where the encoder gives them

A picture counts from the moment its record is complete. What a crash left behind the last one is never read.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from captioning.errors import UserError

COLUMNS = {
    "tokens": np.dtype("<f2"),
    "pooled": np.dtype("<f2"),
    "boxes": np.dtype("<f4"),
    "times": np.dtype("<f4"),
    "scores": np.dtype("<f4"),
    "classes": np.dtype("<i4"),
}
RECORD = np.dtype(
    [
        ("key", "<u8"),  # hash of the id
        ("row", "<u8"),  # its first token row
        ("name", "<u8"),  # first byte of its line in ids.jsonl
        ("tokens", "<u4"),
        ("length", "<u4"),  # of its line
        ("crc", "<u4"),  # of the id and the values
        ("zero", "<u4"),
        ("seal", "<u8"),  # of this record
    ]
)
ORIGIN = np.dtype([("place", "<u8"), ("content", "<u8"), ("seal", "<u8")])  # see features/identity.py; 0 is unknown
# Odd, so that any change within one word changes the sum; not from a generator, so that the format stays what it is.
FACTORS = np.array([(0x9E3779B97F4A7C15 + 0x632BE59BD9B4E018 * i) % 2**64 for i in range(5)], np.uint64)
DAMAGED = np.uint64(2**64 - 1)
SMALL = 4096  # records, below which an index is read: a map costs a file handle, and there may be many parts


class Part:
    """The records of a part, memory-mapped where they are many, and where its values lie."""

    def __init__(self, folder: Path, width: int, columns: Sequence[str]):
        """Raises UserError naming the file where the part is not whole."""
        self.folder, self.width, self.seeded = folder, width, (folder / "index.bin").exists()
        self._names = b""
        if self.seeded:
            self.records, self.torn = _read_records(folder / "index.bin")
        else:
            self.records, self._names = _read_lines(folder / "index.jsonl")
            self.torn = 0
        self._check_lengths(columns)

    def __len__(self) -> int:
        return len(self.records)

    def origins(self) -> np.ndarray:
        """An ORIGIN of each picture: unknown in a part of the first versions, and none that fits where damaged."""
        path = self.folder / "origins.bin"
        found = np.zeros(len(self), ORIGIN)
        if self.seeded and path.exists():
            try:
                there = np.fromfile(path, ORIGIN, len(self))
            except OSError as error:
                raise UserError(f"{path} cannot be read: {error}") from None
            good = np.zeros(len(self), bool)
            good[: len(there)] = _origin_seal(there) == there["seal"]
            found[: len(there)] = there
            found["place"][~good] = found["content"][~good] = DAMAGED
        return found

    def place(self, column: str, at: int) -> tuple[Path, int]:
        """The file and the first byte of one picture's values."""
        row = at if column == "pooled" else int(self.records["row"][at])
        return self.folder / f"{column}.bin", row * row_bytes(column, self.width)

    def text(self, at: int) -> bytes:
        """The id of one picture, as JSON."""
        start, length = (int(self.records[name][at]) for name in ("name", "length"))
        if self._names:
            return self._names[start : start + length]
        with (self.folder / "ids.jsonl").open("rb") as file:
            file.seek(start)
            return file.read(length)

    def intact(self, at: int, text: bytes, values: dict[str, np.ndarray]) -> bool:
        """Whether these are the id and the values that were written."""
        start = zlib.crc32(text) if self.seeded else 0  # the first version left the id out
        record = self.records[at]
        return key_of(text) == int(record["key"]) and checksum(values, start) == int(record["crc"])

    def _check_lengths(self, columns: Sequence[str]) -> None:
        records = self.records
        tokens = int((records["row"] + records["tokens"]).max()) if len(records) else 0
        for name in columns:
            path, rows = self.folder / f"{name}.bin", len(records) if name == "pooled" else tokens
            size = path.stat().st_size if path.exists() else -1
            if size < rows * row_bytes(name, self.width):
                raise UserError(f"{path} is shorter than its index says: delete {self.folder} and extract again")


class PartWriter:
    """A new part, open for appending."""

    def __init__(self, store: Path, width: int, columns: Sequence[str]):
        """Raises UserError where it cannot be written."""
        self.width = width
        self.folder = store / f"part-{time.time_ns()}-{secrets.token_hex(4)}"  # which sort by age
        self.rows, self.pictures, self.name = 0, 0, 0
        self._thread, self._syncing = ThreadPoolExecutor(1), None
        try:
            self.folder.mkdir(parents=True)
            self._files = {name: (self.folder / f"{name}.bin").open("xb") for name in (*columns, "index", "origins")}
            self._files["ids"] = (self.folder / "ids.jsonl").open("xb")
            for folder in (self.folder, store):
                _sync_folder(folder)
        except OSError as error:
            raise _unwritable(self.folder, error) from None

    def append(
        self,
        texts: Sequence[bytes],
        pictures: Sequence[dict[str, np.ndarray]],
        origins: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """Ids as JSON with the values of each: data first, then the records that make them count.

        `origins` are place and content of each, as numbers.

        When it returns the system has everything, so that a killed process loses nothing; the disk gets it meanwhile,
        so that an encoder need not wait. After an error the next call overwrites what this one left.
        """
        counts = np.array([len(values["tokens"]) for values in pictures])
        lengths = np.array([len(text) for text in texts])
        records = np.zeros(len(texts), RECORD)
        records["key"] = [key_of(text) for text in texts]
        records["row"] = self.rows + np.cumsum(counts) - counts
        records["name"] = self.name + np.cumsum(lengths + 1) - lengths - 1
        records["tokens"], records["length"] = counts, lengths
        records["crc"] = [checksum(values, zlib.crc32(text)) for text, values in zip(texts, pictures, strict=True)]
        records["seal"] = seal(records)
        starts = {
            name: (self.pictures if name == "pooled" else self.rows) * row_bytes(name, self.width) for name in COLUMNS
        }
        data = {name: (starts[name], b"".join(values[name].tobytes() for values in pictures)) for name in pictures[0]}
        known = np.zeros(len(texts), ORIGIN)
        if origins is not None:
            known["place"], known["content"] = np.array(origins, np.uint64).reshape(-1, 2).T
        known["seal"] = _origin_seal(known)
        data["origins"] = (self.pictures * ORIGIN.itemsize, known.tobytes())
        self.settle()
        self._write({**data, "ids": (self.name, b"".join(text + b"\n" for text in texts))})
        self._write({"index": (self.pictures * RECORD.itemsize, records.tobytes())})
        self._syncing = self._thread.submit(self._sync)
        self.rows += int(counts.sum())
        self.pictures += len(texts)
        self.name += int(lengths.sum()) + len(texts)

    def settle(self) -> None:
        """Waits until the disk has what was appended. Raises UserError where it has not."""
        syncing, self._syncing = self._syncing, None
        try:
            if syncing:
                syncing.result()
        except OSError as error:
            raise _unwritable(self.folder, error) from None

    def close(self) -> None:
        """Waits for the disk and closes the files. Raises UserError where something did not get there."""
        try:
            self.settle()
        finally:
            self._thread.shutdown()
            for file in self._files.values():
                file.close()

    def _write(self, contents: dict[str, tuple[int, bytes]]) -> None:
        try:
            for name, (start, content) in contents.items():
                self._files[name].seek(start)
                self._files[name].write(content)
                self._files[name].flush()
        except OSError as error:
            raise _unwritable(self.folder, error) from None

    def _sync(self) -> None:
        for name in sorted(self._files, key="index".__eq__):  # the index last
            os.fsync(self._files[name].fileno())


def row_bytes(column: str, width: int) -> int:
    """Bytes of one row of a column."""
    values = width if column in ("tokens", "pooled") else 4 if column == "boxes" else 1
    return values * COLUMNS[column].itemsize


def key_of(text: bytes) -> int:
    """A hash of 64 bits of an id. Two of a million ids have the same with a chance of 1 in 30 million."""
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def seal(records: np.ndarray) -> np.ndarray:
    """A checksum (P,) of each record's other fields, never 0 for an empty one."""
    words = np.frombuffer(records.tobytes(), "<u8").reshape(-1, RECORD.itemsize // 8)
    return (words[:, : len(FACTORS)] * FACTORS).sum(1, dtype=np.uint64) + np.uint64(1)


def _origin_seal(origins: np.ndarray) -> np.ndarray:
    return origins["place"] * FACTORS[0] + origins["content"] * FACTORS[1] + np.uint64(1)


def checksum(values: dict[str, np.ndarray], start: int = 0) -> int:
    """CRC-32 over all columns of a picture."""
    for name in sorted(values):
        start = zlib.crc32(np.ascontiguousarray(values[name]), start)
    return start


def _read_records(path: Path) -> tuple[np.ndarray, int]:
    """The records, and how many behind the last good one are broken. Raises UserError for one before it."""
    try:
        whole = path.stat().st_size // RECORD.itemsize
        if whole < SMALL:
            records = np.fromfile(path, RECORD, whole)
        else:
            records = np.asarray(np.memmap(path, RECORD, mode="r", shape=(whole,)))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    good = np.flatnonzero(seal(records) == records["seal"])
    last = int(good[-1]) + 1 if len(good) else 0
    if len(good) < last:
        broken = int(np.setdiff1d(np.arange(last), good)[0])
        raise UserError(f"{path} is damaged at picture {broken + 1:,}: delete {path.parent} and extract again")
    return records[:last], whole - last


def _read_lines(path: Path) -> tuple[np.ndarray, bytes]:
    """The records of an index in JSON lines, as stores had them at first, and all ids."""
    try:
        content = path.read_bytes()
        lines = [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
        records = np.zeros(len(lines), RECORD)
        texts = [json.dumps(line["id"]).encode() for line in lines]
        for name, values in (("row", "row"), ("tokens", "tokens"), ("crc", "crc")):
            found = np.array([line[values] for line in lines], np.int64)
            if (found < 0).any():
                raise ValueError(f"a negative {name}")
            records[name] = found
        records["key"] = [key_of(text) for text in texts]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error}): delete {path.parent} and extract again") from None
    records["length"] = [len(text) for text in texts]
    records["name"] = np.cumsum(records["length"]) - records["length"]
    if len(set(texts)) != len(texts) or (records["tokens"] == 0).any():
        raise UserError(f"{path} is damaged (an id twice, or no tokens): delete {path.parent} and extract again")
    return records, b"".join(texts)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written ({error.strerror}). Make room, or choose another place with store=DIR")
