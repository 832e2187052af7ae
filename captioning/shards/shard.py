"""Shards as people have them: tar, Parquet, Arrow, lists of files; which paths mean some, and what is in one."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from captioning.errors import UserError
from captioning.files.regular import one_line
from captioning.media.kinds import IMAGE_EXTENSIONS
from captioning.shards import arrow_table, tar_file
from captioning.shards.places import expanded, is_remote, names_in, opened, place_of
from captioning.shards.record import Columns, Record

KINDS = {".tar": "tar", ".parquet": "table", ".arrow": "table", ".txt": "list", ".lst": "list"}
LINE = 1 << 14  # characters of a name in a list


@dataclass(frozen=True)
class Shard:
    """A file with many pictures."""

    place: str
    name: str  # what its output is called, without ending

    @property
    def kind(self) -> str:
        return kind_of(self.place) or "tar"

    def other_name(self) -> str:
        """Its name with what tells it from a shard of that name in another folder."""
        place = self.place if is_remote(self.place) else os.path.realpath(self.place)
        return f"{self.name}-{hashlib.blake2b(place.encode(errors='surrogatepass'), digest_size=4).hexdigest()}"


def kind_of(place: str) -> str | None:
    """tar, table or list by the ending of a name, None for anything else."""
    return KINDS.get(os.path.splitext(place)[1].lower())


def is_shards(path: str | os.PathLike[str]) -> bool:
    """Whether a path, a pattern or an address means shards rather than photos: by its name, or by what a folder has.

    A folder with photos beside shards is one of photos.
    """
    place = place_of(path)
    if kind_of(place) is not None or is_remote(place):
        return True
    try:
        endings = {os.path.splitext(name)[1].lower() for name in os.listdir(place)}
    except OSError:
        return False
    if any(os.path.isfile(os.path.join(place, name)) for name in ("dataset_dict.json", "state.json")):
        return True
    return any(KINDS.get(one) in ("tar", "table") for one in endings) and not endings & {*IMAGE_EXTENSIONS}


def find_shards(paths: Iterable[str | os.PathLike[str]]) -> list[Shard]:
    """The shards that paths, patterns (`*`, `{000..099}`), addresses and folders mean, each once, in order.

    Of a folder the shards directly in it, sorted. Raises UserError where something is no shard, or there is none.
    """
    found: dict[str, Shard] = {}
    for path in paths:
        for place in expanded(place_of(path)):
            for shard in _shards_at(place):
                found.setdefault(shard.place, shard)
    if not found:
        raise UserError("there are no shards. Name .tar, .parquet or .arrow files, or lists of photos (.txt)")
    return list(found.values())


def _shards_at(place: str) -> list[Shard]:
    if kind_of(place) is not None:
        return [_shard(place)]
    if not is_remote(place) and os.path.isdir(place):
        saved = [Shard(one, name) for one, name in arrow_table.saved_dataset(Path(place))]
        if saved:
            return saved
    names = sorted(name for name in names_in(place) if kind_of(name) in ("tar", "table") and not name.startswith("."))
    if not names:
        raise UserError(f"{place} is no shard: name .tar, .parquet or .arrow files, lists (.txt), or a folder of them.")
    return [_shard(f"{place.rstrip('/')}/{name}") for name in names]


def _shard(place: str) -> Shard:
    return Shard(place, os.path.splitext(place.replace(os.sep, "/").rpartition("/")[2])[0])


def output_names(shards: Iterable[Shard], owners: dict[str, str]) -> dict[Shard, str]:
    """What the output of each shard is called: its own name, or where another shard has that, `other_name`.

    `owners`: names of outputs that are there already -> the places of their shards.
    """
    shards = list(shards)
    counts = Counter(shard.name for shard in shards)
    names = {}
    for shard in shards:
        other = shard.other_name()
        free = owners.get(shard.name, shard.place) == shard.place and owners.get(other) != shard.place
        taken = counts[shard.name] > 1 and owners.get(shard.name) != shard.place
        names[shard] = shard.name if free and not taken else other
    return names


def records(shard: Shard, columns: Columns = Columns(), *, keep: bool = False) -> Iterator[Record]:
    """The pictures of a shard in order, one or two in memory at a time.

    A picture that cannot be read is a record with its error, and so is the place where a shard breaks off. `keep` has
    what stands beside the photos in a tar come with them. Raises UserError where nothing of the shard can be read.
    """
    if shard.kind == "table":
        yield from arrow_table.records(shard.place, columns)
        return
    with opened(shard.place) as file:
        if shard.kind == "tar":
            yield from tar_file.records(file, shard.place, keep=keep)
            return
        seen = set()
        for number, line in enumerate(iter(lambda: file.readline(LINE), b""), 1):
            text = line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape").strip()
            if not text:
                continue
            if len(line) >= LINE or "\0" in text:
                yield Record(text[:80], error=f"{shard.place}, line {number}, is the name of no file. Mend the list.")
            elif hash(text) in seen:
                yield Record(text, error=f"{shard.place}, line {number}: {one_line(text)} is there twice. Remove one.")
            else:
                seen.add(hash(text))
                yield Record(text, arrow_table.picture_at(text, shard.place))
