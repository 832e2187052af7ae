"""`captioning evaluate`: captions a split, scores it, and writes a page about it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from captioning.data.source import Source
from captioning.data.splits import chosen_examples
from captioning.errors import UserError
from captioning.files.atomic import write_whole
from captioning.metrics.caption_scores import Scores, score_captions
from captioning.reports.caption_statistics import caption_statistics, flattened
from captioning.reports.evaluation_page import best_and_worst, page
from captioning.runtime.allocator import keep_freed_memory
from captioning.tasks.captioning.captioner import Captioner, load
from captioning.tasks.captioning.evaluation import caption_split, looked_at

log = logging.getLogger("captioning")


def run(config: DictConfig, folder: Path) -> int:
    """`captioning evaluate`: prints the table, writes metrics.json and predictions.json. -> exit status."""
    keep_freed_memory()
    captioner = load(config.model, device=config.device, allow=config.allow)
    source_config = {key: value for key, value in config.data.items() if key != "split"}
    source = instantiate(source_config)
    generation = config.get("generation")
    if generation is not None and not (OmegaConf.is_dict(generation) and "_target_" in generation):
        raise UserError("generation.KEY=VALUE changes a search that is named: generation=beam generation.alpha=1.4")
    generation = instantiate(generation) if generation else None  # else the model's own
    references, hypotheses = caption_split(
        captioner,
        source,
        str(config.data.split),
        generation=generation,
        store=config.store,
        batch_size=config.batch_size,
        num_workers=config.num_workers,
    )
    labels = {example.id: example.labels for example in chosen_examples(source, str(config.data.split))}
    scores = score_captions(references, hypotheses, metrics=tuple(config.metrics or source.metrics), labels=labels)
    counts = f"{len(hypotheses):,} {source.things}, {sum(map(len, references.values())):,} references"
    print(table(scores.corpus, f"{source.name} {config.data.split}, {counts}"))
    about = {"model": str(config.model), "data": source.name, "split": config.data.split, "pictures": len(hypotheses)}
    about["unavailable"] = scores.unavailable
    write_json(folder / "metrics.json", {**about, "scores": scores.corpus})
    write_json(folder / "predictions.json", [{"image_id": key, "caption": text} for key, text in hypotheses.items()])
    log.info(f"wrote {folder / 'metrics.json'} and {folder / 'predictions.json'}")
    if config.report:
        file = folder / "report.html"
        write_gallery(file, captioner, source, config.data.split, hypotheses, scores, generation=generation)
        log.info(f"wrote {file}: open it in a browser")
    return 0


def table(scores: dict[str, float], title: str) -> str:
    """One line a metric, x100."""
    width = max(map(len, scores))
    return "\n".join([title, *(f"  {name:<{width}}  {100 * value:6.2f}" for name, value in scores.items())])


def write_json(path: Path, content: Any) -> None:
    """Writes a file whole or not at all."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_gallery(
    path: Path,
    captioner: Captioner,
    source: Source,
    split: str,
    hypotheses: Mapping[int | str, str],
    scores: Scores,
    *,
    generation: Callable | None = None,
    title: str | None = None,
) -> Path:
    """Writes the page about the captions of a split and returns its path. Raises UserError where it cannot be written.

    The pictures shown are captioned once more, for the attention; what differs from what was scored is shown without.
    """
    chosen = set(best_and_worst(scores))
    examples = [example for example in source.examples(split) if example.id in chosen]
    references = {example.id: list(example.captions) for example in source.examples(split) if example.id in hypotheses}
    try:
        training: list[str] | None = [text for example in source.examples("train") for text in example.captions]
    except UserError:
        training = None
    ours = caption_statistics(hypotheses.values(), training)
    theirs = caption_statistics(flattened(references), training if split != "train" else None)
    cards = looked_at(captioner, source, examples, hypotheses, generation or captioner.strategy({}))
    title = title or f"{source.name} {split}: what the model says"
    return write_whole(path, page(title, scores, cards, {"model": ours, "people": theirs}))
