"""One row of a shard: what is known of it, and its picture or what is wrong with that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from captioning.media.encoded import EncodedPicture


@dataclass(frozen=True)
class Member:
    """One file in a tar."""

    name: str
    key: str  # what the files of one sample share: the name up to the first dot behind its folder
    extension: str  # what stands behind that dot, in lower case
    offset: int  # of its content in the shard, bytes
    size: int
    time: float  # of its last change, seconds
    error: str | None = None  # why it is not read


@dataclass(frozen=True)
class Record:
    """A picture of a shard. One without `picture` has an `error`."""

    key: str  # unique within its shard; "" for what is wrong with the shard itself
    picture: EncodedPicture | Path | None = None
    error: str | None = None
    captions: tuple[str, ...] = ()
    split: str | None = None
    members: Sequence[tuple[Member, bytes]] = field(default=(), repr=False)  # of a tar, where they are wanted


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are called; None takes the usual names."""

    image: str | None = None
    id: str | None = None
    caption: str | None = None
    split: str | None = None
