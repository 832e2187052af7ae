"""WebDataset shards: tar files in which the files of a sample share a name and stand one after the other.

Read from first to last with limits, for a shard may be a stranger's: nothing is unpacked to the disk, links, devices
and sparse files are refused, no header is larger than it has reason to be, and no file is read that claims more than
a photo has. (The layout: https://github.com/webdataset/webdataset, as img2dataset writes it.)
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from captioning.errors import UserError
from captioning.files.disk_space import size_in_words
from captioning.files.regular import one_line
from captioning.files.terminal import has_controls
from captioning.media.encoded import EncodedPicture
from captioning.media.kinds import IMAGE_EXTENSIONS
from captioning.shards.record import Member, Record

MAX_MEMBER = 200 * 2**20  # bytes of a file in a shard
MAX_TEXT = 1 << 20  # bytes of a text or JSON beside a photo
MAX_HEADER = 1 << 16  # bytes of names and remarks before a file
MAX_FILES = 256  # of one sample
REMEDY = "Make the shard again"


class BrokenShard(UserError):
    """A shard that ends, or makes no sense, before it is through. What stood before is good."""


class _Bounded:
    """A file of which no piece is read that is larger than a header has reason to be."""

    def __init__(self, file: BinaryIO):
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise ValueError(f"a header of {size:,} bytes")
        return self.file.read(size)

    def seek(self, *place: int) -> int:
        return self.file.seek(*place)

    def tell(self) -> int:
        return self.file.tell()


def members(file: BinaryIO, name: str) -> Iterator[Member]:
    """The files in a tar, in order, their content unread. Raises BrokenShard where it is cut short or damaged."""
    try:
        tar = tarfile.TarFile(name=None, mode="r", fileobj=_Bounded(file))  # type: ignore[arg-type]
    except Exception as error:  # a damaged header raises nearly anything
        raise BrokenShard(f"{name} is no tar file, or its first header is damaged ({one_line(str(error))})") from None
    info, before = tar.firstmember, -1
    while info is not None:
        if info.size < 0 or tar.offset <= before:
            raise BrokenShard(f"{name} is damaged at byte {tar.offset:,}: a header leads backwards. {REMEDY}")
        before = tar.offset
        if (member := _member(info)) is not None:
            yield member
        tar.members = []  # or they are all kept
        try:
            tar.fileobj.seek(tar.offset)  # type: ignore[union-attr]
            info = tarfile.TarInfo.fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            return
        except Exception as error:
            end = file.seek(0, 2)
            cut = isinstance(error, (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError)) or end < tar.offset  # type: ignore[attr-defined]
            state = f"is cut short at byte {end:,}" if cut else f"is damaged at byte {tar.offset:,}"
            raise BrokenShard(f"{name} {state}, behind {one_line(info.name)}. {REMEDY}, or copy it again.") from None


def _member(info: tarfile.TarInfo) -> Member | None:
    """None for what is no file of a sample: folders, and names that begin with a dot or have none."""
    if info.isdir():
        return None
    path = PurePosixPath(info.name)
    stem, dot, extension = path.name.partition(".")
    if not (stem and dot and extension):
        return None
    key = str(path.with_name(stem))
    error = None
    if path.is_absolute() or ".." in path.parts or "\\" in info.name or has_controls(info.name):
        error = f"{one_line(info.name)!r} is a name that leads out of a folder. {REMEDY} with plain names."
    elif not info.isreg() or info.issparse():
        error = f"{one_line(info.name)} is a link, a device or has holes, and no plain file. {REMEDY} with the files."
    elif info.size > MAX_MEMBER:
        claim, most = size_in_words(info.size), size_in_words(MAX_MEMBER)
        error = f"{info.name} claims {claim}, and no photo may have more than {most}. Make it smaller."
    return Member(info.name, key, extension.lower(), info.offset_data, info.size, info.mtime, error)


def samples(file: BinaryIO, name: str) -> Iterator[list[Member]]:
    """Members that stand one after the other and share a key. Raises BrokenShard, after what was whole."""
    sample: list[Member] = []
    try:
        for member in members(file, name):
            if sample and (member.key != sample[0].key or len(sample) >= MAX_FILES):
                yield sample
                sample = []
            sample.append(member)
    except BrokenShard:
        if sample:
            yield sample
        raise
    if sample:
        yield sample


def picture_member(sample: Sequence[Member]) -> Member | None:
    """The photo of a sample: what has a photo's extension, `jpg` before `input.jpg`."""
    photos = [one for one in sample if f".{one.extension.rpartition('.')[2]}" in IMAGE_EXTENSIONS]
    return min(photos, key=lambda one: one.extension.count("."), default=None)


def content_of(file: BinaryIO, member: Member, name: str) -> bytes:
    """The bytes of a member. Raises UserError where it may not be read, BrokenShard where they are not there."""
    if member.error:
        raise UserError(f"{name}: {member.error}")
    file.seek(member.offset)
    content = file.read(member.size)
    if len(content) < member.size:
        raise BrokenShard(f"{name} is cut short within {one_line(member.name)}. {REMEDY}, or copy it again.")
    return content


class Told:
    """What a shard has said of its samples so far: which keys came before, and what is wrong with their order."""

    def __init__(self, name: str):
        self.name, self.seen, self.apart = name, set(), []

    def defect(self, sample: Sequence[Member], photo: Member | None) -> str | None:
        """What is wrong with a sample; "" for what is left of one that came before, and no sample of its own."""
        key, first = one_line(sample[0].key), hash(sample[0].key) not in self.seen
        self.seen.add(hash(sample[0].key))
        if photo is None and not first:
            self.apart.append(one_line(sample[0].name))
            return ""
        if photo is None:
            return f"{self.name}: {key} has no photo. {REMEDY}, the files of each sample one after the other."
        if not first:
            return f"{self.name}: the key {key} is there twice. {REMEDY} with a key for each photo."
        return None

    def remark(self) -> str | None:
        """One sentence on what stood in a wrong order."""
        if not self.apart:
            return None
        return (
            f"{self.name}: {len(self.apart):,} files stand apart from their photo, the first is {self.apart[0]}; what "
            f"they say is not read. {REMEDY}, the files of each sample one after the other."
        )


def records(file: BinaryIO, name: str, *, keep: bool = False) -> Iterator[Record]:
    """The photos of a shard in order; what cannot be read is a record with its error, also where the shard ends early.

    `keep` has each come with the content of its members. What stands in a wrong order is said in a last record
    without key.
    """
    told = Told(name)
    try:
        for sample in samples(file, name):
            photo = picture_member(sample)
            defect = told.defect(sample, photo)
            if defect == "":
                continue
            kept, content = [], None
            for member in sample:
                if (keep or member is photo) and defect is None:
                    try:
                        read = content_of(file, member, name)
                    except BrokenShard:
                        yield Record(sample[0].key, error=f"{name} is cut short within {one_line(member.name)}")
                        raise
                    except UserError as error:
                        defect = str(error) if member is photo else defect
                        continue
                    content = read if member is photo else content
                    kept += [(member, read)] if keep else []
            if defect or content is None:
                yield Record(sample[0].key, error=defect or f"{name}: {sample[0].key} cannot be read", members=kept)
            else:
                yield Record(sample[0].key, EncodedPicture(f"{name}: {photo.name}", content), members=kept)
    except BrokenShard as error:
        yield Record("", error=str(error))
    if remark := told.remark():
        yield Record("", error=remark)


def captions_of(file: BinaryIO, sample: Sequence[Member], fields: Sequence[str], name: str) -> tuple[str, ...]:
    """What the members `fields` say of a photo: the lines of a text, `caption` or `captions` of a JSON.

    A field is an extension, `txt`, or of a JSON with a key of it, `json.caption`. Raises UserError for a damaged one.
    """
    found: list[str] = []
    for wanted in fields:
        extension, _, key = wanted.partition(".") if wanted.startswith("json.") else (wanted, "", "")
        member = next((one for one in sample if one.extension == extension), None)
        if member is None:
            continue
        if member.size > MAX_TEXT:
            raise UserError(f"{name}: {member.name} has {size_in_words(member.size)}, which no caption has. {REMEDY}.")
        content = content_of(file, member, name)
        found += in_json(content, key, f"{name}: {member.name}") if extension == "json" else in_text(content)
    return tuple(found)


def in_text(content: bytes) -> list[str]:
    lines = content.decode("utf-8", "replace").replace("\r", "\n").split("\n")
    return [line.strip() for line in lines if line.strip()]


def in_json(content: bytes, key: str, place: str) -> list[str]:
    from captioning.files.annotations import parse_json

    document: Any = parse_json(content, place)
    said = document.get(key or "captions", document.get("caption")) if isinstance(document, dict) else None
    said = [said] if isinstance(said, str) else said or []
    if not (isinstance(said, list) and all(isinstance(one, str) for one in said)):
        raise UserError(f"{place}: {key or 'caption'} is {json.dumps(said)[:60]}, and should be text. {REMEDY}.")
    return said
