"""MSR-VTT (Xu et al., CVPR 2016): 10,000 clips of the web with twenty captions each."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from captioning.data.clip_source import Clips
from captioning.data.file_source import split_name
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.annotations import entries, read_json, read_lines

log = logging.getLogger("captioning")

# The newer first. The archives of the challenge have the captions in two files, with the test split apart.
FILES = (
    ("videodatainfo_2017*.json*",),
    ("videodatainfo_2016*.json*",),
    ("train_val_videodatainfo.json*", "test_videodatainfo.json*"),
    ("MSRVTT_data.json*",),
)
FULL = {"train": 6513, "val": 497, "test": 2990}
ONE_K_A = {"train": 9000 - 497, "val": 497, "test": 1000}
TEST_OF_1K_A = ("MSRVTT_JSFUSION_test.csv", "val_list_jsfusion.txt")


class MSRVTT(Clips):
    """10,000 clips in the official splits, `video0` to `video9999`.

    Clips without a caption, such as a withheld test split has, are left out with a message: nothing can be learned
    from them, nor scored.

    Args:
        root: folder of the files below. The clips are in clips/, videos/, TrainValVideo/ and TestVideo/ (as the
            archives have them) or directly in it.
        captions: the JSON file with `videos` and `sentences`, or several of them; by default videodatainfo_2017.json,
            videodatainfo_2016.json, train_val_videodatainfo.json with test_videodatainfo.json, or MSRVTT_data.json.
            Each may be compressed (.gz).
        splits: "full" is the paper's 6,513 / 497 / 2,990, by {train,val,test}_list_full.txt where they are there, else
            as the JSON file says. "1k-A" (Yu et al., ECCV 2018) tests on the 1,000 clips that
            MSRVTT_JSFUSION_test.csv or val_list_jsfusion.txt lists and has all others, 9,000, for training; the 497
            of them that the paper validates on are `val`, so that a model is not chosen by clips it is tested on.
        on_missing: "error", "skip" or "ignore", see `captioning.data.file_source.Photos`.
    """

    name = "msrvtt"
    by_hand = "the authors of MSR-VTT give its JSON files and clips on request, by the page of the challenge."
    folders = ("clips", "videos", "videos/all", "TrainValVideo", "TestVideo", "train-video", "test-video", "")

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/msrvtt",
        *,
        captions: str | Sequence[str] | None = None,
        splits: str = "full",
        on_missing: str = "error",
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        if splits not in ("full", "1k-A"):
            raise UserError(f"data.splits: {splits!r} is neither full nor 1k-A.")
        self.one_k_a = splits == "1k-A"
        self.official = ONE_K_A if self.one_k_a else FULL
        self.given = (captions,) if isinstance(captions, str) else captions

    def annotations(self, split: str) -> Path:
        return self.files[0]

    def remedy(self) -> str:
        return f"Put them under {self.root / self.folders[0]}, named like video0.mp4"

    @cached_property
    def files(self) -> list[Path]:
        """The JSON files that are read."""
        if self.given:
            return [self.root / name for name in self.given]
        for patterns in FILES:
            found = [path for pattern in patterns for path in sorted(self.root.glob(pattern))[:1]]
            if found:
                return found
        raise UserError(
            f"{self.root} has no videodatainfo_2017.json, nor any other file of MSR-VTT's captions. "
            "Put it there, or set data.root or data.captions."
        )

    def captions(self, split: str) -> dict[str, list[str]]:
        captions = self._content[1]
        return {clip_id: captions[clip_id] for clip_id, of in self.split_of.items() if of == split}

    def read(self, split: str) -> list[Example]:
        examples = super().read(split)
        silent = [example.id for example in examples if not example.captions]
        if silent:
            message = (
                f"{self.annotations(split)}: {len(silent):,} of {len(examples):,} clips of split {split} have no "
                f"caption, the first is {silent[0]}."
            )
            if len(silent) == len(examples):
                raise UserError(f"{message} Name the file that has them by data.captions, or choose another split.")
            log.warning("%s Left out.", message)
        return [example for example in examples if example.captions]

    @cached_property
    def split_of(self) -> dict[str, str]:
        """Every clip's split, in the order of the files."""
        named = self._videos
        if self.one_k_a:
            lists = (self.root / name for name in TEST_OF_1K_A)
            tested = self._listed(next(filter(Path.exists, lists), None))
            rest = {one: "val" if split_name(of) == "val" else "train" for one, of in named.items()}
            return rest | dict.fromkeys(tested, "test")
        lists = {split: self.root / f"{split}_list_full.txt" for split in FULL}
        if all(path.exists() for path in lists.values()):
            listed = [(one, split) for split, path in lists.items() for one in self._listed(path)]
            return self.checks.unique(self.root, listed, "clips of the split lists")
        splits = {one: split_name(of) for one, of in named.items()}
        unknown = [f"{named[one]!r} of {one}" for one, split in splits.items() if split is None]
        self.checks.report(self.files[0], unknown, len(splits), "splits", "unknown", "Name them train, val or test")
        return {one: split for one, split in splits.items() if split}

    def _listed(self, path: Path | None) -> list[str]:
        """The clips that a list names and the JSON files have."""
        if path is None:
            raise UserError(f"{self.root} has no {' or '.join(TEST_OF_1K_A)}. Put one there, or set data.splits=full.")
        lines = [line.strip() for _, line in read_lines(path)]
        if path.suffix == ".csv":
            rows = list(csv.DictReader(lines))
            if not rows or "video_id" not in rows[0]:
                raise UserError(f"{path} has no column video_id. Take the official file.")
            lines = [row["video_id"] for row in rows]
        strange = [one for one in lines if one not in self._videos]
        self.checks.report(path, strange, len(lines), "clips", "not in the JSON file", f"Check {self.files[0].name}")
        return [one for one in lines if one in self._videos]

    @property
    def _videos(self) -> dict[str, str]:
        return self._content[0]

    @cached_property
    def _content(self) -> tuple[dict[str, str], dict[str, list[str]]]:
        """Clip -> split as the JSON files say, and clip -> captions."""
        videos: list[tuple[str, str]] = []
        sentences: list[tuple[str, str]] = []
        for path in self.files:
            document = read_json(path, "Check data.captions.")
            listed = entries(document, "videos", {"video_id": str, "split": str}, path)
            videos += [(video["video_id"], video["split"]) for video in listed]
            said = entries(document, "sentences", {"video_id": str, "caption": str}, path)
            sentences += [(one["video_id"], one["caption"]) for one in said]
        splits = self.checks.unique(self.files[0], videos, "clip ids")
        captions: dict[str, list[str]] = {clip_id: [] for clip_id in splits}
        strays = [f"that of {clip_id}" for clip_id, _ in sentences if clip_id not in captions]
        where = " and ".join(map(str, self.files))
        self.checks.report(where, strays, len(sentences), "captions", "of a clip that is not listed", "Remove them")
        for clip_id, caption in sentences:
            if clip_id in captions:
                captions[clip_id].append(caption)
        return splits, captions
