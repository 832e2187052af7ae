"""Features that other programs wrote, picture by picture: one protocol for every kind of file they come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from captioning.errors import UserError

LARGEST = float(np.finfo(np.float16).max)  # which is what a store keeps
LARGEST_FILE = 1 << 30  # bytes that the features of one picture may take: more is a damaged header


@dataclass(frozen=True)
class Features:
    """What a file holds of one picture or clip."""

    tokens: np.ndarray  # (N, D) float32: regions, cells of a grid row by row, or frames
    pooled: np.ndarray | None = None  # (D,) float32
    boxes: np.ndarray | None = None  # (N, 4) float32 x1 y1 x2 y2, in pixels or already in [0, 1]
    size: tuple[float, float] | None = None  # width and height in pixels of the picture that the boxes are on
    classes: np.ndarray | None = None  # (N,) int64
    scores: np.ndarray | None = None  # (N,) float32


class FeatureFile(Protocol):
    """A file or folder of features by id."""

    path: Path

    def ids(self) -> list[str]:
        """What is in it, as it is spelt there. Raises UserError where that cannot be read."""

    def read(self, key: str) -> Features:
        """The features of one of `ids`. Raises UserError naming the file and the id where they are not usable."""


def usable(
    where: str,
    tokens: np.ndarray,
    *,
    pooled: np.ndarray | None = None,
    boxes: np.ndarray | None = None,
    size: tuple[float, float] | None = None,
    classes: np.ndarray | None = None,
    scores: np.ndarray | None = None,
) -> Features:
    """Arrays as they were found -> features. Raises UserError, beginning with `where`, for a wrong shape or value.

    Tokens are (N, D), (D,) for a single one, or (h, w, D) for a grid.
    """
    tokens = _numbers(where, "features", tokens)
    if tokens.ndim not in (1, 2, 3) or not tokens.size:
        raise UserError(f"{where}: features of shape {tokens.shape}, where (N, D), (D,) or (h, w, D) should be")
    tokens = tokens.reshape(-1, tokens.shape[-1])
    regions, width = tokens.shape
    wanted = {"pooled": (pooled, (width,)), "boxes": (boxes, (regions, 4))}
    wanted |= {"classes": (classes, (regions,)), "scores": (scores, (regions,))}
    parts = {}
    for name, (part, shape) in wanted.items():
        if part is not None:
            part = _numbers(where, name, part)
            part = part.reshape(-1) if len(shape) == 1 else part
            if part.shape != shape:
                raise UserError(f"{where}: {name} of shape {part.shape} beside features of shape {tokens.shape}")
            parts[name] = part.astype(np.int64) if name == "classes" else part
    if size is not None and not (0 < size[0] < np.inf and 0 < size[1] < np.inf):
        raise UserError(f"{where}: a picture of {size[0]:g} x {size[1]:g} pixels, which cannot be")
    return Features(tokens, size=size, **parts)


def _numbers(where: str, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise UserError(f"{where}: {name} of type {array.dtype}, where numbers should be")
    with np.errstate(over="ignore", invalid="ignore"):
        array = array.astype(np.float32)
        sane = bool((np.abs(array) <= LARGEST).all())  # False for NaN, too
    if not sane:
        raise UserError(f"{where}: {name} hold a value that is not finite or beyond {LARGEST:g}. Make the file again")
    return array


def decoded(where: str, call: Callable[[], Features]) -> Features:
    """What `call` returns. Whatever a decoder raises for damaged bytes becomes a UserError that begins with `where`."""
    try:
        return call()
    except UserError:
        raise
    except Exception as error:  # decoders of arbitrary bytes raise nearly anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{where} is damaged or cut short ({reason}). Copy or make it again") from error
