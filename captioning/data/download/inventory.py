"""`captioning data check NAME`: what of a benchmark is there, what is missing, and where it belongs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

from captioning.data.defects import missing_files
from captioning.data.source import Source
from captioning.errors import UserError

log = logging.getLogger("captioning")


@dataclasses.dataclass(frozen=True)
class SplitCheck:
    """What was found of a split; `remedy` is None where nothing is missing."""

    split: str
    captioned: int
    expected: int | None = None  # of the official split
    missing: Sequence[str] = ()  # files of pictures
    remedy: str | None = None

    def __str__(self) -> str:
        of = f" of {self.expected:,}" if self.expected is not None and self.expected != self.captioned else ""
        line = f"{self.split:<6} {self.captioned:,}{of} captioned"
        if self.missing:
            there = self.captioned - len(self.missing)
            line += f", {there:,} there, {len(self.missing):,} missing, the first is {self.missing[0]}"
        elif self.captioned:
            line += ", all there"
        return f"{line}. {self.remedy}" if self.remedy else line


def source_of(name: str, overrides: Sequence[str] = ()) -> Source:
    """The source that conf/data/NAME.yaml describes, told to leave out what is missing. Raises UserError."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException, InstantiationException
    from hydra.utils import instantiate
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException

    from captioning.commands.hydra import conf_folder

    known = sorted(path.stem for path in (conf_folder() / "data").glob("*.yaml"))
    if name not in known:
        raise UserError(f"there is no data set {name!r}. There are {', '.join(known)}.")
    given = [text if text.startswith("data.") else f"data.{text}" for text in overrides]
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            config = compose("extract", [f"data={name}", *given]).data
        if "on_missing" in config:
            with open_dict(config):
                config.on_missing = "skip"
        OmegaConf.resolve(config)
        return instantiate(config)
    except (HydraException, InstantiationException, OmegaConfBaseException) as error:
        raise UserError(" ".join(str(error.__cause__ or error).split("\n")[:2])) from None


def check_source(source: Source) -> list[SplitCheck]:
    """Every split of a source, read and counted."""
    return [check_split(source, split) for split in source.splits]


def check_split(source: Source, split: str) -> SplitCheck:
    """Reads the captions of a split, and looks whether its pictures are there."""
    expected = source.official.get(split)
    root = getattr(source, "root", None)  # pictures that come from no folder cannot be missing from it
    try:
        examples = source.examples(split) if root is None else source.read(split)
    except UserError as error:
        return SplitCheck(split, 0, expected, remedy=" ".join(str(error).split("\n")))
    absent = missing_files(Path(root), (one.file for one in examples)) if root is not None else set()
    missing = [one.file for one in examples if one.file in absent]
    remedy = None
    if missing:
        remedy = f"{source.remedy()}."
    elif expected is not None and len(examples) < expected:
        remedy = "Take the official files."
    return SplitCheck(split, len(examples), expected, missing, remedy)


def report(name: str, source: Source) -> bool:
    """Prints what is there, one line a split. -> whether that is everything."""
    root = getattr(source, "root", None)
    print(f"{name}: {root if root is not None else 'made on demand, nothing to download'}")
    level, found = log.level, []
    log.setLevel(logging.ERROR)  # what is left out is counted below
    try:
        for split in source.splits:
            found.append(check_split(source, split))
            print(f"  {found[-1]}")
    finally:
        log.setLevel(level)
    complete = all(one.remedy is None for one in found)
    for archive in () if complete else source.archives:
        if absent := archive.absent(Path(root)):
            print(f"  captioning data download {name} fetches {archive.name}: {', '.join(absent)}")
    if not complete and source.by_hand:
        print(f"  by hand: {source.by_hand}")
    print(f"{name}: {'complete' if complete else 'incomplete'}")
    return complete


def run(name: str, overrides: Sequence[str] = ()) -> int:
    """`captioning data check NAME`. -> 0, or 1 where something is missing."""
    return 0 if report(name, source_of(name, overrides)) else 1
