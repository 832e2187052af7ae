"""An index of unit vectors by name: half precision, memory-mapped, appended to, checked, searched exactly by blocks.

A folder with index.json, which says what made the vectors and which two files hold them: N rows of float16, and a line
of JSON for each row, written after it: name, stamp (what tells one content of that name from another) and checksum. A
line that says a name is gone takes its row out of the index. A crash leaves rows without lines, which the next addition
overwrites. When more rows are gone than there, both files are written anew and index.json changes over to them.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captioning.errors import UserError
from captioning.files.atomic import write_whole

VERSION = 1
BLOCK = 8192  # rows that become single precision at once: 16 MB of width 512
SLACK = 0.01  # more than what a cosine computed in half precision is off by


@dataclass(frozen=True)
class Found:
    """A row that a query found: its name, and the cosine of both."""

    name: str
    score: float


class VectorIndex:
    """Vectors of W numbers by name. One process may add at a time; any number may search."""

    def __init__(self, folder: str | Path):
        """Opens an index. Raises UserError naming the file where it is none, or is damaged beyond its last line."""
        self.folder = Path(folder)
        self.about = _read_about(self.folder / "index.json")
        self.width: int = self.about["width"]
        self._read_entries()

    @classmethod
    def open(cls, folder: str | Path, *, width: int, maker: str) -> VectorIndex:
        """The index of a folder, made where there is none. Raises UserError where another model made it.

        `maker` identifies the model: vectors of two models have nothing to do with each other.
        """
        path = Path(folder) / "index.json"
        if not path.exists():
            about = {"version": VERSION, "width": width, "maker": maker, "generation": 0}
            write_whole(path, json.dumps(about, indent=1) + "\n")
        index = cls(folder)
        if (index.width, index.about["maker"]) != (width, maker):
            raise UserError(f"{index.folder} is an index by another model: delete it, or name another with --index")
        return index

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> list[str]:
        """Of all vectors, in the order of their rows."""
        return list(self.rows)

    def stamp(self, name: str) -> Any:
        """What was known of the content behind a name when its vector was made; None for a name that is not there."""
        return self._entries[self.rows[name]]["stamp"] if name in self.rows else None

    def vectors(self, names: Sequence[str]) -> NDArray[np.float32]:
        """(len(names), W). Raises KeyError for a name that is not there."""
        return np.array(self._map()[[self.rows[name] for name in names]], np.float32).reshape(-1, self.width)

    def update(
        self, present: Mapping[str, Any], embed: Callable[[list[str]], Iterator[tuple[list[str], Any]]]
    ) -> tuple[int, int]:
        """Makes the index one of `present`, names with their stamps. -> how many were added, and how many removed.

        `embed` is asked for the vectors of names that are new or have another stamp, and yields them in parts: names
        and (n, W). A part is kept as soon as it is there. Names it leaves out are not in the index.
        """
        stale = [name for name in self.rows if name not in present or self.stamp(name) != present[name]]
        if stale:
            self.remove(stale)
        wanted = [name for name in present if name not in self.rows]
        added = 0
        for names, vectors in embed(wanted) if wanted else ():
            self.add(names, vectors, [present[name] for name in names])
            added += len(names)
        return added, len(stale)

    def add(self, names: Sequence[str], vectors: Any, stamps: Sequence[Any] | None = None) -> None:
        """Appends vectors (n, W), normalised here; a name that is there already gets its new one.

        Raises UserError for one that is not finite, or has no direction.
        """
        rows = np.asarray(vectors, np.float32).reshape(len(names), -1)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if rows.shape[1] != self.width or not np.isfinite(lengths).all() or not (lengths > 0).all():
            raise UserError(f"{self.folder}: vectors have to be {self.width} finite numbers, not all of them zero")
        halves = (rows / lengths).astype(np.float16)
        stamps = list(stamps) if stamps is not None else [None] * len(names)
        lines = [
            {"name": name, "stamp": stamp, "crc": zlib.crc32(half.tobytes())}
            for name, stamp, half in zip(names, stamps, halves, strict=True)
        ]
        with self._writing() as (data, entries):
            data.write(halves.tobytes())
            data.flush(), os.fsync(data.fileno())
            entries.write(_lines(lines))

    def remove(self, names: Sequence[str]) -> None:
        """Takes vectors out; names that are not there are no mistake."""
        gone = [name for name in dict.fromkeys(names) if name in self.rows]
        with self._writing() as (_, entries):
            entries.write(_lines([{"gone": name} for name in gone]))
        if len(self._entries) > 2 * max(len(self.rows), 32):
            self._compact()

    def search(self, queries: Any, top: int = 10, *, approximate: bool = False) -> list[list[Found]]:
        """The `top` nearest to each query (Q, W), the nearest first.

        Exact, unless `approximate`, which asks the index that `approximate()` made.
        """
        queries = torch.nn.functional.normalize(torch.as_tensor(np.asarray(queries, np.float32)), dim=-1)
        queries = queries.reshape(-1, self.width)
        top = min(top, len(self))
        if top < 1:
            return [[] for _ in queries]
        if approximate:
            found = self._ask_faiss(queries, top)
        else:
            data, alive = torch.from_numpy(self._map()), torch.from_numpy(self._alive)
            few = len(queries) <= 4
            found = [_nearest(data, alive, q, top) for q in queries] if few else _by_blocks(data, alive, queries, top)
        return [
            [
                Found(self._entries[row]["name"], score)
                for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
            ]
            for rows, scores in found
        ]

    def damaged(self) -> list[str]:
        """Names whose vectors no longer fit their checksum. Reads the whole index once."""
        data = self._map()
        return [name for name, i in self.rows.items() if zlib.crc32(data[i].tobytes()) != self._entries[i]["crc"]]

    def approximate(self, *, lists: int | None = None, probes: int = 16) -> Path:
        """Writes an inverted file of half precision (faiss, an extra) for `search(approximate=True)`. -> its file.

        For millions of vectors: a query then compares those of `probes` of `lists` clusters, by default 4 sqrt(N).
        """
        faiss = _faiss()
        rows = np.array(list(self.rows.values()), np.int64)
        lists = lists or max(1, int(4 * len(rows) ** 0.5))
        quantizer = faiss.IndexFlatIP(self.width)
        kind = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexIVFScalarQuantizer(quantizer, self.width, lists, kind, faiss.METRIC_INNER_PRODUCT)
        data = self._map()
        some = np.random.default_rng(0).permutation(rows)[: 64 * lists]
        index.train(np.ascontiguousarray(data[np.sort(some)], np.float32))
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            index.add_with_ids(np.ascontiguousarray(data[part], np.float32), part)
        index.nprobe = min(probes, lists)
        faiss.write_index(index, str(self._faiss_file()))
        return self._faiss_file()

    def _ask_faiss(self, queries: Tensor, top: int) -> list[tuple[NDArray, NDArray]]:
        path = self._faiss_file()
        if not path.exists():
            raise UserError(f"{self.folder} has no approximate index of what it holds now: call approximate() first")
        scores, rows = _faiss().read_index(str(path)).search(queries.numpy(), top)
        return [(row[row >= 0], score[row >= 0]) for row, score in zip(rows, scores, strict=True)]

    def _faiss_file(self) -> Path:
        return self.folder / f"vectors-{self.about['generation']}-{len(self._entries)}-{len(self.rows)}.faiss"

    def _file(self, ending: str, generation: int | None = None) -> Path:
        number = self.about["generation"] if generation is None else generation
        return self.folder / f"vectors-{number}.{ending}"

    def _map(self) -> NDArray[np.float16]:
        """All rows, those of names that are gone included. Mapped once: the first pass over a new map is far slower."""
        if self._mapped is None:
            count = len(self._entries)
            self._mapped = np.empty((0, self.width), np.float16)
            if count:  # "c", for torch warns of maps that it must not write to; nobody does
                self._mapped = np.memmap(self._file("f16"), np.float16, "c", shape=(count, self.width))
        return self._mapped

    def _read_entries(self) -> None:
        """What the lines say of the rows, as far as both are whole."""
        path = self._file("jsonl")
        text = path.read_bytes() if path.exists() else b""
        text = text[: text.rfind(b"\n") + 1]  # a last line without an end was never finished
        size = self._file("f16").stat().st_size if self._file("f16").exists() else 0
        self._entries: list[dict[str, Any]] = []
        self.rows: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            try:
                entry = json.loads(line)
                if "gone" in entry:
                    self.rows.pop(entry["gone"], None)
                    continue
                name, _, _ = entry["name"], entry["stamp"], entry["crc"]
            except (ValueError, KeyError, TypeError, RecursionError):
                raise UserError(f"{path}, line {number}, is not one of an index: delete {self.folder}") from None
            self.rows.pop(name, None)
            self.rows[name] = len(self._entries)
            self._entries.append(entry)
        if size < 2 * self.width * len(self._entries):
            raise UserError(f"{self._file('f16')} is shorter than its lines say: delete {self.folder} and search again")
        self._whole, self._mapped = len(text), None
        self._alive = np.zeros(len(self._entries), bool)
        self._alive[list(self.rows.values())] = True

    @contextmanager
    def _writing(self) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """The two files, at the places where they go on; afterwards the index knows what was written."""
        with _only_one(self.folder / "lock"):
            self.about = _read_about(self.folder / "index.json")
            self._read_entries()  # of a process that wrote before
            try:
                with _appending(self._file("f16")) as data, _appending(self._file("jsonl")) as entries:
                    data.truncate(2 * self.width * len(self._entries))
                    entries.truncate(self._whole)
                    yield data, entries
            except OSError as error:
                raise UserError(f"{self.folder} cannot be written ({error.strerror})") from error
            self._read_entries()

    def _compact(self) -> None:
        """Writes what is there into new files, without what is gone."""
        with _only_one(self.folder / "lock"):
            before, new = self.about["generation"], self.about["generation"] + 1
            data, rows = self._map(), list(self.rows.values())
            with self._file("f16", new).open("wb") as file:
                for start in range(0, len(rows), BLOCK):
                    file.write(data[rows[start : start + BLOCK]].tobytes())
                file.flush(), os.fsync(file.fileno())
            self._file("jsonl", new).write_bytes(_lines([self._entries[row] for row in rows]))
            self.about = self.about | {"generation": new}
            write_whole(self.folder / "index.json", json.dumps(self.about, indent=1) + "\n")
            for path in self.folder.glob(f"vectors-{before}[.-]*"):
                with suppress(OSError):
                    path.unlink()
            self._read_entries()


def _nearest(data: Tensor, alive: Tensor, query: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Rows and cosines of one query's nearest. data (N, W) half, alive (N,), query (W,) -> (top,), (top,).

    All cosines are first computed in half precision, at the speed of reading the rows, then again those that may count.
    """
    rough = torch.mv(data, query.half()).float().masked_fill_(~alive, -2.0)  # (N,)
    least = rough.topk(top).values[-1]
    near = (rough >= least - SLACK).nonzero().squeeze(1)
    near = near[alive[near]]
    exact = data[near].float() @ query
    order = exact.sort(descending=True, stable=True).indices[:top]
    return near[order], exact[order]


def _by_blocks(data: Tensor, alive: Tensor, queries: Tensor, top: int) -> list[tuple[Tensor, Tensor]]:
    """`_nearest` of many queries (Q, W) at once: products in single precision, a block of rows at a time."""
    count = len(queries)
    places, scores = torch.empty(count, 0, dtype=torch.long), torch.empty(count, 0)
    for start in range(0, len(data), BLOCK):
        block = data[start : start + BLOCK].float()
        found = (queries @ block.T).masked_fill_(~alive[start : start + BLOCK], -2.0)  # (Q, b)
        best, at = found.topk(min(top, len(block)), dim=1)
        scores, places = torch.cat([scores, best], 1), torch.cat([places, at + start], 1)
        scores, order = scores.topk(min(top, scores.shape[1]), dim=1)
        places = places.gather(1, order)
    return list(zip(places, scores, strict=True))


def _lines(entries: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(entry, ensure_ascii=True) + "\n" for entry in entries).encode()


def _appending(path: Path) -> BinaryIO:
    return path.open("ab")


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Waits until no other process is in here; where the system has no such locks, it does not."""
    with path.open("w") as file:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if type(about["version"]) is not int or about["version"] > VERSION:
            raise ValueError("it is of a later version: pip install -U captioning")
        if type(about["width"]) is not int or about["width"] < 1 or type(about["generation"]) is not int:
            raise ValueError("width and generation are whole numbers")
        if not isinstance(about["maker"], str):
            raise ValueError("maker is a text")
        return about
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} does not describe an index: {error}") from None


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise UserError("an approximate index needs faiss: pip install 'captioning[search]'") from None
    return faiss
