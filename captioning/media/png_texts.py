"""PNG files without what is no picture in them: texts, XMP and colour profiles, which may unpack to anything."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
# What fits here unpacks to less than Pillow takes, 1 MiB each: deflate makes at most 1,032 bytes of one.
HARMLESS = 1000


def without_texts(file: BinaryIO) -> BinaryIO:
    """The same PNG, or where its texts are longer than HARMLESS a copy in memory that has none of them.

    A file that is no sound sequence of chunks is copied as it is from there on, for the decoder to judge.
    """
    end = file.seek(0, os.SEEK_END)
    kept, size, at = [], 0, len(SIGNATURE)
    start = 0
    while at + 12 <= end:
        file.seek(at)
        head = file.read(8)
        length = 12 + int.from_bytes(head[:4], "big")
        if head[4:] in TEXTS and at + length <= end:
            kept.append((start, at))
            start, size = at + length, size + length - 12
        at += length
    file.seek(0)
    if size <= HARMLESS:
        return file
    copy = io.BytesIO()
    for first, last in (*kept, (start, end)):
        file.seek(first)
        copy.write(file.read(last - first))
    copy.seek(0)
    return copy
