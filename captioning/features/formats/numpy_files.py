"""Folders of NumPy files, one a picture or clip: `ID.npz`, `ID.npy`, and the layout `x_att/`, `x_fc/`, `x_box/`."""

from __future__ import annotations

import io
import math
import os
import zipfile
from pathlib import Path

import numpy as np

from captioning.errors import UserError
from captioning.features.formats.base import LARGEST_FILE, Features, decoded, usable

TOKENS = ("feat", "features", "feats", "x", "arr_0")
BOXES = ("bbox", "boxes", "box")
WIDTHS, HEIGHTS = ("image_w", "img_w", "width"), ("image_h", "img_h", "height")


class ArrayFolder:
    """`ID.npz` with `feat` and, where known, `bbox`, `image_w` and `image_h`; or `ID.npy` with `ID_bbox.npy` beside it.

    A folder `x_att` takes its boxes from `x_box/ID.npy` and its pooled features from `x_fc/ID.npy` beside it; so does
    a folder that holds one such folder. Never unpickles anything.
    """

    def __init__(self, path: Path):
        """Lists the folder. Raises UserError where it holds no such file."""
        inside = sorted(path.glob("*_att"))
        self.path = inside[0] if len(inside) == 1 else path
        self.files = _arrays(self.path)
        beside = {f"{name}_{end}": name for name in self.files for end in BOXES if f"{name}_{end}" in self.files}
        self.boxes = {name: self.files.pop(box) for box, name in beside.items()}
        self.pooled: dict[str, Path] = {}
        if self.path.name.endswith("_att"):
            prefix = self.path.name.removesuffix("_att")
            self.boxes = _arrays(self.path.with_name(f"{prefix}_box"))
            self.pooled = _arrays(self.path.with_name(f"{prefix}_fc"))
        if not self.files:
            raise UserError(f"{path} holds no .npz or .npy file with features. Name the folder that does")

    def ids(self) -> list[str]:
        """File names without their extension, sorted."""
        return list(self.files)

    def paths(self, key: str) -> list[Path]:
        """The files that hold one picture's features."""
        return [path for path in (self.files[key], self.boxes.get(key), self.pooled.get(key)) if path]

    def read(self, key: str) -> Features:
        """What the files of that name hold. Raises UserError naming the file."""
        if key not in self.files:
            raise UserError(f"{self.path} holds no {key}.npz or {key}.npy")
        found = decoded(str(self.files[key]), lambda: features_in(_bytes(self.files[key]), str(self.files[key])))
        extra = {}
        for name, file in (("boxes", self.boxes.get(key)), ("pooled", self.pooled.get(key))):
            if file:
                extra[name] = decoded(str(file), lambda file=file: array_in(_bytes(file)))
        if not extra:
            return found
        return usable(str(self.files[key]), found.tokens, **{"boxes": found.boxes, "size": found.size, **extra})


def features_in(content: bytes, where: str) -> Features:
    """The features in the bytes of an .npz or .npy file. Raises UserError, or whatever damaged bytes raise."""
    if not content.startswith(b"PK"):
        return usable(where, array_in(content))
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        if sum(member.file_size for member in packed.infolist()) > LARGEST_FILE:
            raise ValueError("it is said to hold more than a picture's features can be")
        end = content.rfind(b"PK\5\6")  # the end of the directory, whose count of members Python does not look at
        if int.from_bytes(content[end + 10 : end + 12], "little") != len(packed.infolist()):
            raise ValueError("its directory has lost members")
        # All of them, which compares each with its checksum: a damaged name must not look like boxes never given.
        members = {member.filename: packed.read(member) for member in packed.infolist()}
    names = [name.removesuffix(".npy") for name in members if name.endswith(".npy")]

    def one(wanted: tuple[str, ...]) -> np.ndarray | None:
        name = next((name for name in wanted if name in names), None)
        return None if name is None else array_in(members[f"{name}.npy"])

    tokens = one(TOKENS if len(names) > 1 else tuple(names))
    if tokens is None:
        raise UserError(f"{where}: none of its arrays ({', '.join(names)}) is called {', '.join(TOKENS)}")
    width, height = one(WIDTHS), one(HEIGHTS)
    size = None if width is None or height is None else (float(width.item()), float(height.item()))
    return usable(where, tokens, boxes=one(BOXES), size=size)


def array_in(content: bytes) -> np.ndarray:
    """The array in the bytes of an .npy file. Raises ValueError where they are something else, or too few or many."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of .npy")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects, which are not opened: they may run anything")
    there, needed = len(content) - file.tell(), math.prod(shape) * dtype.itemsize
    if there != needed or min(shape, default=0) < 0:
        raise ValueError(f"{there:,} bytes, where {shape} of {dtype} takes {needed:,}")
    values = np.frombuffer(content, dtype, offset=file.tell())
    return values.reshape(shape, order="F" if fortran else "C")


def _bytes(file: Path) -> bytes:
    if file.stat().st_size > LARGEST_FILE:
        raise ValueError("larger than a picture's features can be")
    return file.read_bytes()


def _arrays(folder: Path) -> dict[str, Path]:
    """Name without extension -> file, sorted; what is kept in `ID_info.npy` is pickled and left alone."""
    if not folder.is_dir():
        return {}
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror}") from None
    stems = {os.path.splitext(name)[0]: folder / name for name in names if name.endswith((".npz", ".npy"))}
    return {stem: file for stem, file in stems.items() if not stem.endswith("_info") and not stem.startswith(".")}
