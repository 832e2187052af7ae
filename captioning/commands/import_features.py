"""`captioning extract import=PATH`: converts features that others made."""

from __future__ import annotations

import logging

from omegaconf import DictConfig

from captioning.data.file_source import Photos
from captioning.data.source import Source
from captioning.errors import UserError
from captioning.example import Example
from captioning.features.convert import Sizes, import_features
from captioning.media.images import image_size
from captioning.media.kinds import plain_id

log = logging.getLogger("captioning")


def run(config: DictConfig) -> int:
    """`captioning extract import=PATH store=DIR`. -> exit status: 1 where features of some pictures are not usable."""
    from captioning.runtime.progress import progress_bar

    if config.store in (None, "auto"):
        raise UserError("import=PATH needs store=DIR, a folder to keep the features in")
    with progress_bar(f"{config['import']} into {config.store}") as report:
        store, failures = import_features(
            config["import"],
            config.store,
            name=config.name,
            boxes=config.boxes,
            sizes=photo_sizes(config.data),
            progress=report,
        )
    for error in list(failures.values())[:20]:
        log.error(str(error))
    if len(failures) > 20:
        log.error(f"... and {len(failures) - 20:,} more")
    boxes = "with boxes" if "boxes" in store.columns else "without boxes"
    log.info(f"{store.folder}: {len(store):,} pictures, {store.width} values a token, {boxes}")
    return 1 if failures else 0


def photo_sizes(config: DictConfig) -> Sizes:
    """Width and height by id, from the photos of the source that `config` describes, built when first asked."""
    known: dict[str, tuple[Source, Example]] = {}

    def size(key: str) -> tuple[float, float] | None:
        from hydra.utils import instantiate

        from captioning.data.splits import examples_of

        if not known:
            source = instantiate(config)
            known.update((plain_id(one.id), (source, one)) for one in examples_of(source, None))
        if plain_id(key) not in known:
            return None
        source, example = known[plain_id(key)]
        return image_size(source.root / example.file) if isinstance(source, Photos) else source.image(example).size

    return size
