"""`captioning data check` and `captioning data download`: what of a benchmark is there, and fetching the rest."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from captioning.data.download.download import download as download_archives
from captioning.data.download.inventory import check_split
from captioning.data.source import Source
from captioning.data.wrapped_source import innermost
from captioning.errors import UserError

log = logging.getLogger("captioning")


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


def report(name: str, source: Source) -> bool:
    """Prints what is there, one line a split. -> whether that is everything."""
    source = innermost(source)  # of what is made of photos nothing can be missing but the photos
    root = getattr(source, "root", None)
    place = root if root is not None else source.location or "made on demand, nothing to download"
    print(f"{name}: {place}")
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
    for line in blind(source):
        print(f"  {line}")
    print(f"{name}: {'complete' if complete else 'incomplete'}")
    return complete


def blind(source: Source) -> list[str]:
    """Of questions: what is right without a look at the pictures, one line for each way to guess. Else nothing."""
    from captioning.data.question_baselines import blind_scores

    if source.things != "questions" or "train" not in source.splits:
        return []
    lines = []
    for split in source.splits:
        try:
            scores = {} if split == "train" else blind_scores(source.examples("train"), source.examples(split))
        except UserError:  # a part that is not there, which was said above
            continue
        lines += [f"{split:<6} {100 * score:.1f}% by the {name} of train" for name, score in scores.items()]
    return lines


def check(name: str, overrides: Sequence[str] = ()) -> int:
    """`captioning data check NAME`. -> 0, or 1 where something is missing."""
    return 0 if report(name, source_of(name, overrides)) else 1


def download(name: str, overrides: Sequence[str] = ()) -> int:
    """`captioning data download NAME`. -> 0, or 1 where something is left that has to be had by hand."""
    source = innermost(source_of(name, overrides))
    if source.archives:
        download_archives(source.archives, Path(source.root))
    elif source.by_hand:
        log.info(f"nothing of {name} is published at a fixed address")
    return 0 if report(name, source) else 1
