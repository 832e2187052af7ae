"""A feature store: what an encoder returned for many pictures, kept on disk. It is only a cache.

A folder with
    store.json     what made it: encoder configuration, digest, widths
    index.jsonl    one line a picture: its id, its first token row, its number of tokens, a checksum
    tokens.bin     float16 (sum of N, D), one picture after the other, memory-mapped
    pooled.bin     float16 (pictures, D)
    boxes.bin      float32 (sum of N, 4), where the encoder gives boxes
    times.bin      float32 (sum of N,), where the encoder gives times

A picture counts from the moment its index line is complete. Opening a store for writing drops whatever a crash
left behind the last complete line, so an interrupted extraction loses at most its last batch.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from captioning.errors import UserError
from captioning.files import write_whole
from captioning.memory import VisualMemory

COLUMNS = {"tokens": np.float16, "pooled": np.float16, "boxes": np.float32, "times": np.float32}
LARGEST = float(np.finfo(np.float16).max)
VERSION = 1


class FeatureStore:
    """Memories by id. Opens in milliseconds, holds no tensors, shares its pages between worker processes."""

    def __init__(self, folder: str | Path):
        """Opens an existing store. Raises UserError naming the file where it is not a whole one."""
        self.folder = Path(folder)
        self.about = _read_about(self.folder)
        self.width: int = self.about["width"]
        self.columns: list[str] = self.about["columns"]
        self.rows, self.counts, self.checksums, self.positions = _read_index(self.folder)
        self._maps: dict[str, np.memmap] = {}
        self._check_lengths()

    @classmethod
    def create(
        cls, folder: str | Path, *, encoder: dict, digest: str, width: int, columns: Sequence[str]
    ) -> FeatureStore:
        """An empty store for memories with these columns. An existing one by the same encoder is opened instead."""
        folder = Path(folder)
        if (folder / "store.json").exists():
            return cls(folder).made_by(encoder, digest)
        about = {"version": VERSION, "encoder": encoder, "digest": digest, "width": width, "columns": list(columns)}
        folder.mkdir(parents=True, exist_ok=True)
        for name in [*columns, "index"]:
            _file(folder, name).touch()
        write_whole(folder / "store.json", json.dumps(about, indent=2) + "\n")
        return cls(folder)

    def made_by(self, encoder: dict, digest: str) -> FeatureStore:
        """Itself. Raises UserError with both names where another encoder made it."""
        if self.about["digest"] != digest:
            theirs, ours = _name(self.about["encoder"]), _name(encoder)
            raise UserError(
                f"{self.folder} holds features of {theirs} ({self.about['digest'][:12]}), not of {ours} "
                f"({digest[:12]}). Choose another folder with store=DIR, or delete this one."
            )
        return self

    def __len__(self) -> int:
        return len(self.positions)

    def __contains__(self, key: int | str) -> bool:
        return key in self.positions

    def missing(self, ids: Iterable[int | str]) -> list[int | str]:
        """Those of `ids` that are not in the store, in order."""
        return [key for key in ids if key not in self.positions]

    def read(self, ids: Sequence[int | str]) -> VisualMemory:
        """The memories of `ids` as one batch, float16, padded to the longest. Raises UserError for an unknown id."""
        absent = self.missing(ids)
        if absent:
            raise UserError(f"{self.folder} holds no features for {len(absent)} pictures, the first is {absent[0]!r}")
        at = np.array([self.positions[key] for key in ids])
        counts, longest = self.counts[at], int(self.counts[at].max())
        rows = self.rows[at][:, None] + np.minimum(np.arange(longest), counts[:, None] - 1)  # (B, N)
        mask = torch.from_numpy(np.arange(longest) < counts[:, None])
        parts = {"pooled": torch.from_numpy(self._map("pooled")[at])}
        for name in self.columns:
            if name != "pooled":
                part = torch.from_numpy(self._map(name)[rows])
                parts[name] = part * mask.view(*mask.shape, *[1] * (part.dim() - 2)) if counts.min() < longest else part
        return VisualMemory(mask=mask, **parts)

    def append(self, ids: Sequence[int | str], memory: VisualMemory) -> None:
        """Adds a batch: data first, then the index lines that make it count."""
        parts = {name: _array(getattr(memory, name), name) for name in self.columns}
        mask = memory.mask.cpu().numpy()
        lines, row = [], int(self.rows[-1] + self.counts[-1]) if len(self.rows) else 0
        for i in range(len(ids)):
            record = {name: part[i] if name == "pooled" else part[i][mask[i]] for name, part in parts.items()}
            lines.append({"id": ids[i], "row": row, "tokens": len(record["tokens"]), "crc": _checksum(record)})
            row += len(record["tokens"])
        for name, part in parts.items():
            _append(_file(self.folder, name), (part if name == "pooled" else part[mask]).tobytes())
        _append(_file(self.folder, "index"), "".join(json.dumps(line) + "\n" for line in lines).encode())
        self._extend(lines)

    def recover(self) -> FeatureStore:
        """Drops what a crash left half written, so that appending may go on. -> itself."""
        tokens = int(self.rows[-1] + self.counts[-1]) if len(self.rows) else 0
        for name in self.columns:
            rows = len(self) if name == "pooled" else tokens
            os.truncate(_file(self.folder, name), rows * self._row_bytes(name))
        content = _file(self.folder, "index").read_bytes()
        os.truncate(_file(self.folder, "index"), content.rfind(b"\n") + 1)
        self._maps.clear()
        return self

    def damaged(self) -> list[int | str]:
        """Ids whose data no longer fit their checksum. Reads the whole store once, in little memory."""
        wrong = []
        for key, at in self.positions.items():
            rows = slice(int(self.rows[at]), int(self.rows[at] + self.counts[at]))
            record = {name: self._map(name)[at if name == "pooled" else rows] for name in self.columns}
            if _checksum(record) != int(self.checksums[at]):
                wrong.append(key)
        return wrong

    def _extend(self, lines: list[dict]) -> None:
        self.rows = np.concatenate([self.rows, np.array([line["row"] for line in lines], np.int64)])
        self.counts = np.concatenate([self.counts, np.array([line["tokens"] for line in lines], np.int64)])
        self.checksums = np.concatenate([self.checksums, np.array([line["crc"] for line in lines], np.int64)])
        for line in lines:
            self.positions[line["id"]] = len(self.positions)
        self._maps.clear()

    def _map(self, name: str) -> np.memmap:
        if name not in self._maps:
            shape = (-1,) if name == "times" else (-1, 4 if name == "boxes" else self.width)
            self._maps[name] = np.memmap(_file(self.folder, name), COLUMNS[name], mode="r").reshape(shape)
        return self._maps[name]

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_maps": {}}  # a worker maps the files itself

    def _row_bytes(self, name: str) -> int:
        values = {"times": 1, "boxes": 4}.get(name, self.width)
        return values * np.dtype(COLUMNS[name]).itemsize

    def _check_lengths(self) -> None:
        tokens = int((self.rows + self.counts).max()) if len(self.rows) else 0
        for name in self.columns:
            path, rows = _file(self.folder, name), len(self) if name == "pooled" else tokens
            size = path.stat().st_size if path.exists() else -1
            if size < rows * self._row_bytes(name):
                raise UserError(f"{path} is shorter than its index says: delete {self.folder} and extract again")


def _file(folder: Path, name: str) -> Path:
    return folder / ("index.jsonl" if name == "index" else f"{name}.bin")


def _append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _array(tensor: Tensor, name: str) -> np.ndarray:
    tensor = tensor.detach()
    if COLUMNS[name] is np.float16:
        tensor = tensor.float().clamp(-LARGEST, LARGEST).half()
    return np.ascontiguousarray(tensor.cpu().numpy(), COLUMNS[name])


def _checksum(record: dict[str, np.ndarray]) -> int:
    value = 0
    for name in sorted(record):
        value = zlib.crc32(np.ascontiguousarray(record[name]), value)
    return value


def _name(encoder: dict) -> str:
    return str(encoder.get("backbone") or encoder.get("_target_", "an unnamed encoder"))


def _read_about(folder: Path) -> dict:
    path = folder / "store.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        known = about["version"] == VERSION and isinstance(about["width"], int) and isinstance(about["digest"], str)
        if not known or not set(about["columns"]) <= set(COLUMNS) or not {"tokens", "pooled"} <= set(about["columns"]):
            raise ValueError("an unknown version or layout")
        return about
    except FileNotFoundError:
        raise UserError(
            f"{folder} is not a feature store: it has no store.json. `captioning extract` makes one"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not the description of a feature store: {error}") from None


def _read_index(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[int | str, int]]:
    """First rows (P,), numbers of tokens (P,), checksums (P,) and the position of each id, of complete lines."""
    path = _file(folder, "index")
    try:
        content = path.read_bytes()
        lines = [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
        columns = [np.array([line[key] for line in lines], np.int64) for key in ("row", "tokens", "crc")]
        positions = {line["id"]: i for i, line in enumerate(lines)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete {folder} and extract again") from None
    if len(positions) != len(lines) or any((column < 0).any() for column in columns) or (columns[1] == 0).any():
        raise UserError(
            f"{path} is damaged (an id twice, or a picture without tokens): delete {folder} and extract again"
        )
    return *columns, positions
