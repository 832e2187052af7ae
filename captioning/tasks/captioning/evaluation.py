"""Captioning a split and scoring it: what `captioning evaluate` does."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from captioning.runtime.allocator import keep_freed_memory
from captioning.tasks.captioning.captioner import Captioner, describe, load
from captioning.features.extract import examples_of, stored
from captioning.media.kinds import is_clip
from captioning.batches import EpochSampler, Examples, loader
from captioning.data.source import Example, Source
from captioning.errors import UserError
from captioning.files.atomic import write_whole
from captioning.memory import VisualMemory
from captioning.metrics.caption_scores import evaluate
from captioning.runtime.progress import progress_bar

log = logging.getLogger("captioning")


def caption_split(
    captioner: Captioner,
    source: Source,
    split: str,
    *,
    generation=None,
    store: str | None = "auto",
    batch_size: int = 32,
    num_workers: int = 0,
) -> tuple[dict[int | str, list[str]], dict[int | str, str]]:
    """References and hypotheses of every picture of a split, by id. Splits are joined as in `chosen_examples`.

    A model of photos looks at several frames of each clip where the source has clips.
    """
    examples = chosen_examples(source, split)
    encoder, config = captioner.encoder, captioner.bundle.config["encoder"]
    looks = encoder.takes == "image" and encoder.size is not None  # imported features look at nothing
    if looks and any(is_clip(example.file) for example in examples):
        encoder, config = captioner.clip_encoder, captioner.clip_config
    features, readable = stored(store, source, encoder, config, examples, device=captioner.device)
    examples = [example for example in examples if example.id in readable]
    data = Examples(examples, source, encoder, features, None)
    hypotheses: dict[int | str, str] = {}
    with progress_bar(f"{source.name} {split}") as report:
        for batch in loader(data, EpochSampler(len(data), shuffle=False), batch_size, num_workers):
            seen = batch.seen.to(captioner.device)
            memory = seen if isinstance(seen, VisualMemory) else encoder(seen)
            captions = describe(captioner.decoder, memory, captioner.vocabulary, generation or captioner.strategy({}))
            hypotheses |= {key: best[0].text for key, best in zip(batch.ids, captions, strict=True)}
            report(len(hypotheses), len(examples))
    return {example.id: list(example.captions) for example in examples}, hypotheses


def chosen_examples(source: Source, split: str) -> list[Example]:
    """The examples of one split, of several with a plus sign between them, or of all that are there."""
    if split == "all":
        return examples_of(source, None)
    return examples_of(source, split.split("+")) if "+" in split else source.examples(split)


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
    scores = evaluate(references, hypotheses, metrics=tuple(config.metrics or source.metrics))
    counts = f"{len(hypotheses):,} {source.things}, {sum(map(len, references.values())):,} references"
    print(table(scores.corpus, f"{source.name} {config.data.split}, {counts}"))
    about = {"model": str(config.model), "data": source.name, "split": config.data.split, "pictures": len(hypotheses)}
    about["unavailable"] = scores.unavailable
    write_json(folder / "metrics.json", {**about, "scores": scores.corpus})
    write_json(folder / "predictions.json", [{"image_id": key, "caption": text} for key, text in hypotheses.items()])
    log.info(f"wrote {folder / 'metrics.json'} and {folder / 'predictions.json'}")
    if config.report:
        from captioning.reports.evaluation_page import write_gallery

        page = folder / "report.html"
        write_gallery(page, captioner, source, config.data.split, hypotheses, scores, generation=generation)
        log.info(f"wrote {page}: open it in a browser")
    return 0


def table(scores: dict[str, float], title: str) -> str:
    """One line a metric, x100."""
    width = max(map(len, scores))
    return "\n".join([title, *(f"  {name:<{width}}  {100 * value:6.2f}" for name, value in scores.items())])


def write_json(path: Path, content: Any) -> None:
    """Writes a file whole or not at all."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
