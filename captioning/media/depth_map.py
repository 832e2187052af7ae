"""How far away everything in a picture is, in metres: from a PNG of a depth camera, or an array."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from captioning.errors import UserError
from captioning.files.regular import one_line, open_regular

MAX_PIXELS = 36_000_000


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Metres (H, W), zero where nobody knows; nothing is read before `metres` asks."""

    read: Callable[[], NDArray[np.float32]]
    name: str

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, unit: float | None = None) -> DepthMap:
        """A PNG or TIFF of one channel. `unit`: metres of one grey level; None: 1 / 25.5 in 8 bits, so that white is
        ten metres, and a millimetre in 16 bits, as depth cameras write it."""
        return cls(lambda: read_depth(path, unit), os.fspath(path))

    @classmethod
    def of(cls, metres: NDArray, *, name: str = "a depth map") -> DepthMap:
        """An array (H, W) of metres. Raises UserError for anything else."""
        values = np.asarray(metres, np.float32)
        if values.ndim != 2 or not values.size or not np.isfinite(values).all() or (values < 0).any():
            raise UserError(f"{name}: a depth map is (H, W) finite numbers of metres, none below zero")
        return cls(lambda: values, name)

    def metres(self) -> NDArray[np.float32]:
        """-> (H, W). Raises UserError naming the file that cannot be read."""
        return self.read()


def read_depth(path: str | os.PathLike[str], unit: float | None = None) -> NDArray[np.float32]:
    """`DepthMap.open`, read."""
    from PIL import Image

    name = one_line(os.fspath(path))
    with open_regular(path, "depth map", UserError) as file:
        try:
            with Image.open(file, formats=("PNG", "TIFF")) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise UserError(f"{name} has {picture.width:,} x {picture.height:,} pixels. Make it smaller.")
                if picture.mode not in ("L", "I;16", "I;16B", "I", "F"):
                    raise UserError(f"{name} has colours ({picture.mode}): a depth map has one channel.")
                values, bits = np.array(picture), 8 if picture.mode == "L" else 16
        except UserError:
            raise
        except Exception as error:  # Pillow raises anything of a damaged file
            reason = one_line(str(error)) or type(error).__name__
            raise UserError(f"{name} is no depth map, or damaged ({reason}). Copy it again.") from error
    metres = values.astype(np.float32) * np.float32(unit or (1 / 25.5 if bits == 8 else 0.001))
    return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(0))
