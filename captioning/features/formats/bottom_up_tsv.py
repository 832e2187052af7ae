"""The tab-separated files of bottom-up attention (Anderson et al., CVPR 2018) and of LXMERT (Tan and Bansal, 2019)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from captioning.errors import UserError
from captioning.features.formats.base import Features, decoded, usable

BOTTOM_UP = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")
LXMERT = (
    "img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf", "num_boxes", "boxes",
    "features",
)  # fmt: skip
LONGEST_LINE = 256 << 20  # bytes; 100 regions of 2048 values take 1.1 million


class BottomUpTsv:
    """One line a picture, arrays in base64. Its place in the file is remembered, nothing else."""

    def __init__(self, path: Path):
        """Raises UserError where the file cannot be opened."""
        self.path = path
        try:
            self.file = path.open("rb")
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        self._width: int | None = None  # of the first line that was read
        self._places: dict[str, tuple[int, int]] | None = None  # id -> number and first byte of its line

    def ids(self) -> list[str]:
        """The first field of every line, in order. Reads through the file once."""
        return list(self._where())

    def read(self, key: str) -> Features:
        """One line. Raises UserError naming file, line and picture."""
        places = self._where()
        if key not in places:
            raise UserError(f"{self.path} has no line for picture {key}")
        number, start = places[key]
        self.file.seek(start)
        where = f"{self.path}, line {number} (picture {key})"
        found = decoded(where, lambda: _features(self.file.readline(LONGEST_LINE), where))
        width = found.tokens.shape[1]
        self._width = self._width or width
        if width != self._width:
            raise UserError(f"{where}: {width} values a region, where others have {self._width}. Is it cut short?")
        return found

    def _where(self) -> dict[str, tuple[int, int]]:
        if self._places is None:
            places: dict[str, tuple[int, int]] = {}
            for number, start, fields in self._lines():
                key = fields[0].decode("ascii", "backslashreplace").strip()
                if key in places:
                    raise UserError(f"{self.path}: picture {key} is on lines {places[key][0]} and {number}. Keep one")
                places[key] = (number, start)
            if not places:
                raise UserError(f"{self.path} is empty. Copy it again")
            self._places = places
        return self._places

    def _lines(self) -> Iterator[tuple[int, int, list[bytes]]]:
        """Number, first byte and fields of each line that is not the names of the columns."""
        self.file.seek(0)
        start, number = 0, 0
        while line := self.file.readline(LONGEST_LINE):
            number += 1
            fields = line.split(b"\t")
            if len(fields) not in (len(BOTTOM_UP), len(LXMERT)) or not fields[0].strip():
                wanted = ", ".join(BOTTOM_UP)
                raise UserError(
                    f"{self.path}, line {number}: {len(fields)} fields, where {wanted} should be, or the ten of "
                    f"LXMERT. Is the file cut short?"
                )
            if not line.endswith(b"\n"):
                raise UserError(
                    f"{self.path}, line {number} (picture {fields[0].decode('ascii', 'backslashreplace')}) has no end: "
                    f"the file was cut short. Copy it again; if it is whole, add an empty line"
                )
            if fields[0] not in (b"image_id", b"img_id"):
                yield number, start, fields
            start += len(line)


def _features(line: bytes, where: str) -> Features:
    """One line. Raises UserError, or ValueError for what is no number or no base64."""
    fields = line.rstrip(b"\r\n").split(b"\t")
    found = dict(zip(BOTTOM_UP if len(fields) == len(BOTTOM_UP) else LXMERT, fields, strict=True))
    regions = int(found["num_boxes"])
    if not 0 < regions < 10_000:
        raise UserError(f"{where}: num_boxes is {regions}")
    size = (float(found.get("image_w", found.get("img_w"))), float(found.get("image_h", found.get("img_h"))))
    extra = {}
    if "objects_id" in found:
        extra["classes"] = _array(found["objects_id"], np.int64)
        extra["scores"] = _array(found["objects_conf"], np.float32)
    boxes, tokens = _array(found["boxes"], np.float32), _array(found["features"], np.float32)
    if tokens.size % regions or boxes.size != 4 * regions:
        raise UserError(
            f"{where}: num_boxes is {regions}, which {boxes.size:,} numbers in boxes and {tokens.size:,} in features "
            f"do not fit"
        )
    return usable(where, tokens.reshape(regions, -1), boxes=boxes.reshape(regions, 4), size=size, **extra)


def _array(text: bytes, dtype: type) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype)
