"""The file of a checkpoint: its digest beside it, and what is wrong with one in a sentence, before a run goes on."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from captioning.errors import UserError
from captioning.files.atomic import write_whole
from captioning.files.regular import open_regular

CHUNK = 1 << 20
PARTS = {  # of a checkpoint that a run can go on from
    "epoch": int, "global_step": int, "state_dict": Mapping, "optimizer_states": list, "lr_schedulers": list,
    "loops": Mapping, "callbacks": Mapping,
}  # fmt: skip


def digest_file(path: str | os.PathLike[str]) -> Path:
    """Where the digest of a checkpoint is kept."""
    return Path(f"{os.fspath(path)}.sha256")


def digest_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def replace_with_digest(new: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Puts a new file in the place of `path`. Raises OSError.

    The digest of the former one stays in the second line: whenever this is interrupted, what is there has its own.
    """
    former = _digests(path)[:1] if os.path.exists(path) else []
    write_whole(digest_file(path), "\n".join([digest_of(new), *former]) + "\n")
    os.replace(new, path)


def _digests(path: str | os.PathLike[str]) -> list[str]:
    try:
        return digest_file(path).read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError):
        return []


def check_checkpoint(path: Path) -> None:
    """Raises UserError, which says how to go on without it, where a checkpoint is damaged, changed or none."""
    remedy = _remedy(path)
    try:
        open_regular(path, "checkpoint", UserError).close()
    except UserError as error:
        raise UserError(f"{error} {remedy}") from None
    if not path.stat().st_size:
        raise UserError(f"{path} is empty. {remedy}")
    known = _digests(path)
    try:
        if known and digest_of(path) not in known:
            raise UserError(
                f"{path} is damaged or was changed: its digest is not that of {digest_file(path)}. {remedy}"
            )
        if not known:  # one of an earlier version, or copied without its digest: every part of it has a checksum too
            with zipfile.ZipFile(path) as parts:
                if damaged := parts.testzip():
                    raise UserError(f"{path} is damaged in {damaged}. {remedy}")
        content = read_checkpoint(path)
    except UserError:
        raise
    except Exception as error:  # a damaged pickle reaches arbitrary places
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path} is no checkpoint, or damaged ({reason}). {remedy}") from error
    wrong = [name for name, kind in PARTS.items() if not isinstance(content, dict) or not _is(content.get(name), kind)]
    if wrong:
        raise UserError(f"{path} is not the checkpoint of a run: it has no {', '.join(wrong)}. {remedy}")


def read_checkpoint(path: Path) -> Any:
    """What a checkpoint holds; its tensors are not read until they are used."""
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def require_same_model(path: Path, model: nn.Module) -> None:
    """Raises UserError naming the first difference where a sound checkpoint is of another model."""
    theirs, ours = read_checkpoint(path)["state_dict"], model.state_dict()
    for name in (*ours, *theirs):
        there, here = (list(one[name].shape) if name in one else "absent" for one in (theirs, ours))
        if there != here:
            raise UserError(f"{path} is of another model: {name} is {there} there and {here} here. {_remedy(path)}")


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _remedy(path: Path) -> str:
    best = path.with_name("best.ckpt")
    if best != path and best.is_file():
        return f"With resume={best} the run goes on from the best epoch; without {path} it begins afresh."
    return f"Remove {path}, and the run begins afresh."
