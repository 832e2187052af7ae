"""How many samples the tables of an MP4 or QuickTime file claim, before anything is made of the claim.

The tables are run lengths: a few bytes may stand for any number of samples, and FFmpeg keeps some forty bytes for each
(ISO/IEC 14496-12, 8.6 to 8.8). A sample that is in the file has at least one byte there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

OUTER = frozenset([b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"edts", b"mvex"])
RUNS = frozenset([b"stts", b"ctts"])  # pairs of (samples, value)
COUNT_AT = {b"stsz": 8, b"stz2": 8, b"trun": 4, b"senc": 4}  # where a table says how many samples it is about
EDITS = b"elst"
FEW = 1 << 16  # samples that any file may claim: what they cost is nothing
DEPTH = 8
MOST_BOXES = 1 << 18


class ImpossibleTables(Exception):
    """Tables of more samples than the file has bytes. The message says how many."""


def check_sample_tables(file: BinaryIO) -> None:
    """Raises ImpossibleTables; a file of another kind, or a damaged one, is none of this function's business.

    The file is left at its beginning. Reads box headers and run lengths only.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(8)
    try:
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"moof", b"styp", b"sidx"):
            _check(file, size)
    finally:
        file.seek(0)


def _check(file: BinaryIO, size: int) -> None:
    samples: dict[bytes, int] = {}  # by table, of all tracks and fragments together
    edits = most = 0
    for kind, begin, end in _boxes(file, 0, size, 0):
        count = 0
        if kind in RUNS:
            count = _runs(file, begin, end)
        elif kind in COUNT_AT:
            count = _number(file, begin + COUNT_AT[kind])
        elif kind == EDITS:
            edits += _number(file, begin + 4)
        samples[kind] = samples.get(kind, 0) + count
        most = max(most, samples[kind])
    # An edit may show a whole track again, in an index that is written out.
    claimed = max(most, min(edits, size) * most if edits > 16 else 0)
    if claimed > max(size, FEW):
        raise ImpossibleTables(f"its tables claim {claimed:,} frames in {size:,} bytes")


def _boxes(file: BinaryIO, begin: int, end: int, depth: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, beginning of its content, end) of the boxes of interest, in depth."""
    for _ in range(MOST_BOXES):
        if end - begin < 8:
            return
        file.seek(begin)
        header = file.read(16)
        length, kind, start = int.from_bytes(header[:4], "big"), header[4:8], begin + 8
        if length == 1:
            length, start = int.from_bytes(header[8:16], "big"), begin + 16
        stop = end if length == 0 else begin + length
        if stop < start:
            return
        # A length beyond the end is taken for the end, as FFmpeg does.
        if kind in OUTER and depth < DEPTH:
            yield from _boxes(file, start, min(stop, end), depth + 1)
        elif kind in RUNS or kind in COUNT_AT or kind == EDITS:
            yield kind, start, min(stop, end)
        begin = stop


def _number(file: BinaryIO, at: int) -> int:
    file.seek(at)
    return int.from_bytes(file.read(4), "big")


def _runs(file: BinaryIO, begin: int, end: int) -> int:
    """The sum of the run lengths of a table."""
    entries = min(_number(file, begin + 4), max(end - begin - 8, 0) // 8)
    total = 0
    while entries:
        part = file.read(8 * min(entries, 1 << 16))
        pairs = np.frombuffer(part[: len(part) // 8 * 8], ">u4")
        if not len(pairs):
            break
        total += int(pairs[::2].sum(dtype=np.uint64))
        entries -= len(pairs) // 2
    return total
