"""What an untrusted ONNX file may not have: data in other files, and control flow that might never end.

ONNX is a protocol buffer: fields of (number, wire type, content), nested (https://onnx.ai/onnx/repo-docs/IR.html).
"""

from __future__ import annotations

from collections.abc import Iterator

# Kind of message -> number of a field -> kind of message in it. Fields that are not here hold nothing of interest.
NESTED = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
FORBIDDEN = {
    ("tensor", 13): "keeps its weights in other files",
    ("attribute", 6): "has loops or branches",
    ("attribute", 11): "has loops or branches",
}
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def objection(content: bytes) -> str | None:
    """Why a model may not be run, or None. Anything that is no ONNX model at all is left to the runtime to refuse."""
    waiting = [("model", memoryview(content))]
    try:
        while waiting:
            kind, message = waiting.pop()
            for number, inside in _fields(message):
                if (kind, number) in FORBIDDEN:
                    return FORBIDDEN[kind, number]
                if inside is not None and number in NESTED.get(kind, {}):
                    waiting.append((NESTED[kind][number], inside))
    except (IndexError, ValueError):
        return "is damaged, or not an ONNX file"
    return None


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """(number, content) of each field; the content of numbers is left out."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire, inside = tag & 7, None
        if wire == VARINT:
            _, at = _varint(message, at)
        elif wire == BYTES:
            length, at = _varint(message, at)
            inside, at = message[at : at + length], at + length
        elif wire in (FIXED32, FIXED64):
            at += 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if at > len(message):
            raise ValueError("cut short")
        yield tag >> 3, inside


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """(value, where the next byte is) of a number in groups of seven bits, the least first, at most ten of them."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number without end")
