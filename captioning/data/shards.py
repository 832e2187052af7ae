"""Captioned photos in shards, to learn from and to be scored on: WebDataset's tar files, Parquet, Arrow.

The shards are indexed once, texts and places of all photos being held; photos are read when they are wanted. So
splits, words, epochs and resuming are those of any other source.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from PIL.Image import Image

from captioning.data.defects import Checks
from captioning.data.file_source import split_name
from captioning.data.row_table import check_fractions
from captioning.data.source import Source
from captioning.data.table import hash_splits
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.regular import one_line
from captioning.media.images import check_image, open_image
from captioning.shards import index
from captioning.shards.places import identity, is_remote
from captioning.shards.record import Columns
from captioning.shards.shard import Shard, find_shards, output_names

log = logging.getLogger("captioning")


@dataclass(frozen=True, slots=True)
class ShardExample(Example):
    """A photo in a shard: the number of the shard, and where it is in that."""

    shard: int = 0
    at: tuple[int, int] = (0, 0)


class Shards(Source):
    """Photos and captions in shards. The split of a photo is that of its shard where `val_shards` or `test_shards` are
    named, else what its row says, else by a hash of its id, as in a `Table`.

    Ids are the keys, or SHARD/KEY where two shards have the same key.

    Args:
        shards: paths, patterns (`*`, `{000..099}`), folders or addresses.
        val_shards, test_shards: those of the other splits.
        val_fraction, test_fraction: shares of the photos where nothing else says the split, 0 to 1.
        columns: what the columns of a table are called; of a tar, `split` is the member that says it.
        texts: members of a tar with captions, such as [txt] or [json.caption].
        buffer: photos that are shuffled with each other in training; the shards are shuffled besides.
        on_missing: "error", "skip" what is defective, or "ignore", with which no photo is opened before its turn.
        name: of the source; by default the first shard's.
    """

    def __init__(
        self,
        shards: str | Sequence[str],
        *,
        val_shards: str | Sequence[str] | None = None,
        test_shards: str | Sequence[str] | None = None,
        val_fraction: float = 0.1,
        test_fraction: float = 0.1,
        columns: Columns = Columns(),
        texts: Sequence[str] | None = None,
        buffer: int = 1000,
        on_missing: str = "error",
        name: str | None = None,
    ):
        check_fractions(val_fraction, test_fraction)
        if buffer < 1:
            raise UserError(f"data.buffer={buffer}: it is 1 photo or more")
        self.given = {"train": _list(shards), "val": _list(val_shards), "test": _list(test_shards)}
        if not self.given["train"]:
            raise UserError("data.shards names no shard")
        self.val_fraction, self.test_fraction, self.buffer = val_fraction, test_fraction, buffer
        self.columns, self.texts = columns, None if texts is None else list(texts)
        self.on_missing, self.checks = on_missing, Checks(on_missing)
        self.pictures = index.Pictures(columns)
        self.captioned: dict[str, list[Example]] = {}  # by split, what is silent left out
        self.location = ", ".join(path for paths in self.given.values() for path in paths)
        first = os.path.basename(self.given["train"][0].rstrip("/")) or "shards"
        self.name = name or os.path.splitext(first)[0].replace("*", "").replace("{", "").replace("}", "") or "shards"

    @cached_property
    def shards(self) -> list[tuple[Shard, str | None]]:
        """Every shard, and the split that is named for it. Raises UserError where one is of two."""
        named = any(self.given[split] for split in ("val", "test"))
        found: dict[str, tuple[Shard, str | None]] = {}
        for split, paths in self.given.items():
            for shard in find_shards(paths) if paths else []:
                if shard.place in found:
                    raise UserError(f"{shard.place} is a shard of {found[shard.place][1]} and of {split}. Name it once")
                found[shard.place] = shard, split if named else None
        return list(found.values())

    @cached_property
    def identities(self) -> list[str | None]:
        """What tells each shard from another of its name."""
        return [
            f"{shard.place if is_remote(shard.place) else os.path.realpath(shard.place)}|{identity(shard.place)}"
            for shard, _ in self.shards
        ]

    @cached_property
    def indexed(self) -> dict[str, list[Example]]:
        """The examples of all splits, captions unchecked."""
        found: list[tuple[int, index.Entry]] = []
        wrong: list[str] = []
        for number, (shard, _) in enumerate(self.shards):
            try:
                for entry in index.entries(shard, self.columns, self.texts):
                    if entry.error is not None:
                        wrong.append(one_line(entry.error).rstrip("."))
                    else:
                        found.append((number, entry))
            except UserError as error:
                wrong.append(str(error).rstrip("."))
        total = len(found) + len(wrong)
        self.checks.report(self.name, wrong, total, "samples", "defective", "Make those shards again")
        if len(keys := Counter(entry.key for _, entry in found)) < len(found):
            names = output_names([shard for shard, _ in self.shards], {})
            ids = [f"{names[self.shards[number][0]]}/{entry.key}" for number, entry in found]
        else:
            ids = list(keys)
        splits = self._splits(found, ids)
        examples: dict[str, list[Example]] = {split: [] for split in self.splits}
        for (number, entry), one, split in zip(found, ids, splits, strict=True):
            if split is not None:
                file = f"{self.shards[number][0].place}: {entry.key}"
                examples[split].append(ShardExample(one, file, entry.captions, shard=number, at=entry.at))
        return examples

    def _splits(self, found: Sequence[tuple[int, index.Entry]], ids: Sequence[str]) -> list[str | None]:
        """The split of each photo; None where what is said of it is no split, and such are left out."""
        if any(split is not None for _, split in self.shards):
            return [self.shards[number][1] for number, _ in found]
        said = [entry.split for _, entry in found]
        if not any(said):
            by_hash = hash_splits(ids, self.val_fraction, self.test_fraction)
            return [by_hash[one] for one in ids]
        splits = [split_name(one) if one else None for one in said]
        unknown = [
            f"{one!r} of {key}" if one else f"none of {key}"
            for one, split, key in zip(said, splits, ids, strict=True)
            if split is None
        ]
        remedy = "Name them train, val or test, or name other shards with data.val_shards"
        self.checks.report(self.name, unknown, len(ids), "splits", "unknown", remedy)
        return splits

    def examples(self, split: str) -> list[Example]:
        """All examples of a split, shard by shard. Raises UserError for an unknown or empty split."""
        known = split_name(str(split))
        if known not in self.splits:
            raise UserError(f"{self.name} has no split {split!r}. Its splits are {', '.join(self.splits)}.")
        if known not in self.captioned:
            found = self.checks.captioned(self.name, self.indexed[known], known)
            if not found:
                remedy = f"data.{known}_shards or data.{known}_fraction" if known != "train" else "other shards"
                raise UserError(f"{self.name}: split {known} has no captioned photo. Name {remedy}.")
            self.captioned[known] = found
        return list(self.captioned[known])

    def blocks(self, examples: Sequence[Example]) -> list[tuple[int, int]]:
        """What lies together and is best read together: a shard, or of a table a part of it."""
        tables = [shard.kind == "table" for shard, _ in self.shards]
        return [(one.shard, one.at[0] if tables[one.shard] else 0) for one in examples]  # type: ignore[attr-defined]

    def image(self, example: Example) -> Image:
        """The photo as RGB. Raises UserError naming shard and photo."""
        return open_image(index.as_file(self._picture(example)))

    def _picture(self, example: Example):
        assert isinstance(example, ShardExample)
        return self.pictures.read(self.shards[example.shard][0], str(example.id), example.at)

    def place(self) -> str:
        return hashlib.sha256("\n".join(sorted(one.partition("|")[0] for one in self.identities)).encode()).hexdigest()

    def fingerprint(self, example: Example) -> str | None:
        """The shard's place, size and time of change, and where the photo is in it."""
        assert isinstance(example, ShardExample)
        return f"{self.identities[example.shard]} {example.at}"

    def content(self, example: Example) -> str | None:
        """A digest of the photo's bytes; None where they cannot be read."""
        try:
            file = index.as_file(self._picture(example))
            content = file.read_bytes() if isinstance(file, os.PathLike) else file.getvalue()
        except (UserError, OSError):
            return None
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def readable(self, examples: Sequence[Example], *, decode: bool = False) -> list[Example]:
        """The examples whose photo can be opened: each header is looked at, unless `on_missing` is "ignore"."""
        if self.on_missing == "ignore":
            return list(examples)

        def defect(example: Example) -> str | None:
            try:
                check_image(index.as_file(self._picture(example)), decode=decode)
            except UserError as error:
                return str(error).rstrip(".")
            return None

        with ThreadPoolExecutor() as pool:
            defects = list(pool.map(defect, examples))
        found = list(filter(None, defects))
        self.checks.report(self.name, found, len(examples), "captioned photos", "unreadable", "Replace or remove them")
        return [example for example, wrong in zip(examples, defects, strict=True) if not wrong]


class WebDataset(Shards):
    """Tar files in which the files of a sample share a name: `000.jpg`, and `000.txt` with a caption in each line, or
    `000.json` with `caption` or `captions`."""

    def __init__(
        self,
        shards: str | Sequence[str],
        *,
        caption_fields: Sequence[str] | None = None,
        split_field: str | None = None,
        **options,
    ):
        """`caption_fields` are extensions, or keys of a JSON (`json.caption`): all that they say; None takes the txt,
        or where that is missing the json. `split_field` is one as well."""
        super().__init__(shards, texts=caption_fields, columns=Columns(split=split_field), **options)


class ParquetTable(Shards):
    """Parquet or Arrow files, or a folder that `datasets` saved: photos as bytes, paths or addresses in a column, and
    captions in another, as a text or a list of texts. None takes the usual names."""

    def __init__(
        self,
        file: str | Sequence[str],
        *,
        val_file: str | Sequence[str] | None = None,
        test_file: str | Sequence[str] | None = None,
        image_column: str | None = None,
        caption_column: str | None = None,
        id_column: str | None = None,
        split_column: str | None = None,
        **options,
    ):
        columns = Columns(image_column, id_column, caption_column, split_column)
        super().__init__(file, val_shards=val_file, test_shards=test_file, columns=columns, **options)


def _list(paths: str | Iterable[str] | None) -> list[str]:
    if paths is None:
        return []
    return [os.path.expanduser(one) for one in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
