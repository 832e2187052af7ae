"""Reads pickled files of others without running what they name: plain data, tensors, and bare records of the rest."""

from __future__ import annotations

import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from captioning.errors import UserError

SCALARS = {"b1": "?", "f2": "e", "f4": "f", "f8": "d", "i1": "b", "i2": "h", "i4": "i", "i8": "q"}
SCALARS |= {"u1": "B", "u2": "H", "u4": "I", "u8": "Q"}
PLAIN = (object, dict, list, tuple, set, frozenset, str, bytes, int, float, complex, bool)
RECORDS = ("torch.nn.", "torch.optim.", "torchvision.", "torchtext.", "numpy.", "models.", "data.")  # never imported


class Record:
    """Stands where a pickle names a class: keeps what was given to it, and does nothing."""

    def __init__(self, *arguments: Any):
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            if isinstance(part, dict):
                self.__dict__.update({str(key): value for key, value in part.items()})

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__dict__.setdefault("items", {})[key] = value

    def append(self, value: Any) -> None:
        self.__dict__.setdefault("values", []).append(value)

    def __call__(self, *arguments: Any) -> Record:
        return Record(*arguments)


class NumpyType(Record):
    """numpy.dtype, of which the letter and the order of bytes are all that counts."""

    order = "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">") else "<"


def numpy_scalar(kind: Any, content: Any) -> Any:
    """A number that numpy pickled, as Python's own."""
    letter = kind.arguments[0] if isinstance(kind, NumpyType) and kind.arguments else None
    if letter not in SCALARS:
        raise pickle.UnpicklingError(f"a numpy value of type {letter}")
    content = content.encode("latin1") if isinstance(content, str) else content
    return struct.unpack(kind.order + SCALARS[letter], content)[0]


def new_record(kind: Any, base: Any, state: Any) -> Record:
    """What copyreg does for old pickles, for records alone."""
    return kind() if isinstance(kind, type) and issubclass(kind, Record) else Record()


ALLOWED: dict[str, Any] = {
    "argparse.Namespace": Record,
    "types.SimpleNamespace": Record,
    "collections.OrderedDict": OrderedDict,
    "collections.Counter": lambda content=(): dict(content),
    "collections.defaultdict": lambda *_: {},
    **{f"{module}.{kind.__name__}": kind for module in ("builtins", "__builtin__") for kind in PLAIN},
    "copyreg._reconstructor": new_record,
    "copy_reg._reconstructor": new_record,
    "_codecs.encode": lambda text, _="latin1": text.encode("latin1"),
    "numpy.dtype": NumpyType,
    "numpy.core.multiarray.scalar": numpy_scalar,
    "numpy._core.multiarray.scalar": numpy_scalar,
    "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
    "torch._utils._rebuild_tensor": torch._utils._rebuild_tensor,
    "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,
}


class Unpickler(pickle.Unpickler):
    """Builds what `ALLOWED` says, records for the classes of known libraries, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full in ALLOWED:
            return ALLOWED[full]
        if full.startswith(RECORDS) and re.fullmatch(r"[\w.]+", full):
            return Record
        raise UserError(f"it wants to use {full}, which is no data")


def read_pickle(path: Path) -> Any:
    """What a pickled file holds: dicts, lists, text, numbers, records. Raises UserError naming what is refused."""
    try:
        with path.open("rb") as stream:
            return Unpickler(stream, encoding="latin1").load()
    except UserError as error:
        raise UserError(f"{path}: {error}. Give the same as JSON instead") from None
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except Exception as error:  # of broken bytes an unpickler may raise anything
        raise UserError(f"{path} is damaged, or no pickle: {one_line(error)}") from None


def read_whole_checkpoint(path: Path) -> Any:
    """A file that `torch.save` wrote with modules or optimizers in it, these as records.

    Raises UserError naming what is refused.
    """
    reader = SimpleNamespace(Unpickler=Unpickler, load=load_stream, PickleError=pickle.PickleError, __name__=__name__)
    try:
        return torch.load(path, map_location="cpu", pickle_module=reader, weights_only=False)
    except UserError as error:
        raise UserError(f"{path}: {error}. Save its state_dict alone") from None
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except Exception as error:
        raise UserError(f"{path} is damaged, or no checkpoint of torch: {one_line(error)}") from None


def load_stream(stream: Any, **options: Any) -> Any:
    """As `pickle.load`, restricted."""
    return Unpickler(stream, **options).load()


def as_dict(value: Any) -> dict[str, Any]:
    """A namespace or record as the dict of its attributes, a mapping as a dict, anything else as an empty one."""
    if isinstance(value, Record):
        return {name: part for name, part in vars(value).items() if name != "arguments"}
    return dict(value) if isinstance(value, Mapping) else {}


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
