"""MSVD, the Microsoft Research Video Description Corpus (Chen and Dolan, ACL 2011): 1,970 clips, some 41 captions each.

The splits are those of Venugopalan et al. (NAACL 2015): 1,200 train, 100 val, 670 test.
"""

from __future__ import annotations

import csv
import io
import os
from functools import cached_property
from pathlib import Path, PurePath

from captioning.data.benchmarks.karpathy import read_splits
from captioning.data.clip_source import Clips
from captioning.data.download.archives import MSVD_CLIPS
from captioning.errors import UserError
from captioning.files.annotations import entries, read_lines, read_text

OFFICIAL = {"train": 1200, "val": 100, "test": 670}
SENTENCES = "sents_{split}_lc_nopunc.txt"
MAPPING = "youtube_mapping.txt"
CORPORA = ("MSR Video Description Corpus.csv", "video_corpus.csv")
JSON = ("dataset_msvd.json", "dataset_youtube2text.json")
COLUMNS = ("VideoID", "Start", "End", "Language", "Description")

Captions = dict[str, list[str]]


class MSVD(Clips):
    """Clips of YouTube, known by its name and the seconds that were cut out: `-4wsuPCjDBc_5_15`.

    The captions are read from the first of these that is there:
        sents_{train,val,test}_lc_nopunc.txt, which say vid1 to vid1970; youtube_mapping.txt tells their names. Without
            it vid1 itself is the id.
        MSR Video Description Corpus.csv (or video_corpus.csv): its English descriptions of the clips in
            youtube_mapping.txt, whose numbers make the splits.
        dataset_msvd.json: `images` or `videos`, each with `filename`, `split` and `sentences`, as Karpathy wrote them.

    Args:
        root: folder of these files. The clips, under either name, are in clips/, YouTubeClips/, videos/ or directly
            in it.
        captions: one of the files (for the first layout any of its three), where several are there.
        ids: "name", or "number": vid1 to vid1970, as the files of features are often called.
        on_missing: "error", "skip" or "ignore", see `captioning.data.file_source.Photos`.
    """

    name = "msvd"
    official = OFFICIAL
    archives = (MSVD_CLIPS,)
    by_hand = "the sents_*_lc_nopunc.txt and youtube_mapping.txt come with the S2VT code of Venugopalan et al."
    folders = ("clips", "YouTubeClips", "videos", "")

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/msvd",
        *,
        captions: str | None = None,
        ids: str = "name",
        on_missing: str = "error",
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        if ids not in ("name", "number"):
            raise UserError(f"data.ids: {ids!r} is neither name nor number.")
        self.given, self.by_number = captions, ids == "number"

    def annotations(self, split: str) -> Path:
        return self.file.with_name(SENTENCES.format(split=split)) if self.file.suffix == ".txt" else self.file

    def remedy(self) -> str:
        return f"Unpack YouTubeClips.tar into {self.root}"

    def file_names(self, clip_id: str) -> tuple[str, ...]:
        name = self._names.get(_number(clip_id) or 0, clip_id) if self.by_number else clip_id
        number = self._numbers.get(name)
        return (name,) if number is None else (name, f"vid{number}")

    @cached_property
    def file(self) -> Path:
        """The file that says which layout it is."""
        names = [self.given] if self.given else [SENTENCES.format(split="train"), *CORPORA, *JSON]
        found = next((self.root / name for name in names if (self.root / name).exists()), None)
        if found is None:
            raise UserError(
                f"{self.root} has no {' or '.join(names)}. Put MSVD's files there, or set data.root or data.captions."
            )
        return found

    def captions(self, split: str) -> Captions:
        if self.file.suffix == ".txt":
            captions = self._sentences(self.annotations(split))
        else:
            captions = self._by_split[split]
        if not self.by_number:
            return captions
        return {f"vid{self._numbers[name]}" if name in self._numbers else name: said for name, said in captions.items()}

    def _sentences(self, path: Path) -> Captions:
        """Lines of `vid1`, a tab and a caption."""
        captions: Captions = {}
        for line_number, line in read_lines(path, "Put it beside the others, or choose another split."):
            key, tab, caption = line.partition("\t")
            number = _number(key)
            if not tab or number is None:
                raise UserError(
                    f"{path}, line {line_number}: expected 'vid1', a tab and a caption, found {line[:60]!r}. "
                    "Mend the line, or take the official file."
                )
            captions.setdefault(self._names.get(number, key.strip()), []).append(caption.strip())
        return captions

    @cached_property
    def _by_split(self) -> dict[str, Captions]:
        if self.file.suffix.lower() == ".csv":
            return self._corpus()
        splits = read_splits(self.file, self.checks, ("images", "videos"))
        return {
            split: {
                PurePath(entry["filename"]).stem: [
                    sentence["raw"] for sentence in entries(entry, "sentences", {"raw": str}, self.file)
                ]
                for entry in part
            }
            for split, part in splits.items()
        }

    def _corpus(self) -> dict[str, Captions]:
        """The English descriptions, the clips by their number in the mapping."""
        if not self._numbers:
            raise UserError(f"{self.file} has no splits: put {MAPPING}, whose numbers make them, into {self.root}.")
        captions: Captions = {name: [] for name in sorted(self._numbers, key=self._numbers.__getitem__)}
        rows = csv.DictReader(io.StringIO(read_text(self.file), newline=""))
        absent = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
        if absent:
            raise UserError(f"{self.file} has no column {', '.join(absent)}. Take the official file.")
        try:
            for row in rows:
                clip = f"{row['VideoID']}_{row['Start']}_{row['End']}"
                # The corpus has more clips than those that anybody scores, and blank rows.
                if row["Language"] == "English" and clip in captions and (row["Description"] or "").strip():
                    captions[clip].append(row["Description"].strip())
        except csv.Error as error:
            raise UserError(f"{self.file}, line {rows.line_num}: {error}. Mend the line.") from error
        splits: dict[str, Captions] = {split: {} for split in OFFICIAL}
        for clip, said in captions.items():
            splits[_split(self._numbers[clip])][clip] = said
        return splits

    @cached_property
    def _names(self) -> dict[int, str]:
        return {number: name for name, number in self._numbers.items()}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Name of a clip -> its number from 1; empty without a mapping."""
        path = self.root / MAPPING
        if not path.exists():
            return {}
        listed = []
        for line_number, line in read_lines(path):
            name, _, key = line.strip().rpartition(" ")
            number = _number(key)
            if not name or number is None:
                raise UserError(f"{path}, line {line_number}: expected a name and 'vid1', found {line[:60]!r}.")
            listed.append((name.strip(), number))
        return self.checks.unique(path, listed, "clips")


def _number(key: str) -> int | None:
    """12 for vid12."""
    digits = key.strip().removeprefix("vid")
    return int(digits) if digits.isdecimal() and key.strip() != digits else None


def _split(number: int) -> str:
    """The official split of a clip: the first 1,200 are train, the next 100 val, the others test."""
    return "train" if number <= 1200 else "val" if number <= 1300 else "test"
