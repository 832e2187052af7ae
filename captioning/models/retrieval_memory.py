"""Giving a finished model a memory of photos and their captions, and taking it away."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from captioning.runtime.allocator import keep_freed_memory
from captioning.models.bundle import Bundle, load_bundle, read_card, require_place, save_bundle, target
from captioning.tasks.captioning.captioner import working_device
from captioning.features.extract import stored
from captioning.media.kinds import is_clip
from captioning.data.source import Example
from captioning.decoders.retrieval import Recall, check_options
from captioning.errors import UserError
from captioning.tasks.captioning.evaluation import chosen_examples
from captioning.generation.beam import beam
from captioning.generation.consensus import consensus
from captioning.runtime.progress import progress_bar
from captioning.models.shipped import find_model

log = logging.getLogger("captioning")

AT_ONCE = 256  # pictures whose features are read together


def remembering(
    bundle: Bundle,
    pooled: Tensor,
    examples: list[Example],
    *,
    dimensions: int = 128,
    neighbours: int = 20,
    sharpness: float = 10.0,
) -> Bundle:
    """The model, reminded of `examples` by pictures like theirs: pooled (P, D) is what its encoder sees in them.

    What it remembered before is replaced. Beam search becomes search by consensus, of twice as many captions.
    Raises UserError where there is no caption.
    """
    before, bundle = bundle, forgetting(bundle)
    options = {"neighbours": neighbours, "sharpness": sharpness}
    sizes = {"visual_width": bundle.encoder.width, "vocabulary_size": len(bundle.vocabulary)}
    decoder = Recall(bundle.decoder, **sizes, **options)
    captions = [[bundle.vocabulary.encode(text) for text in example.captions] for example in examples]
    decoder.remember(pooled, captions, dimensions=dimensions)
    say = {"_target_": target(Recall), "decoder": bundle.config["decoder"], **options}
    changed = replace(bundle, decoder=decoder.eval(), config=bundle.config | {"decoder": say})
    if before.generation.func is consensus:  # as it was told to be
        config = changed.config | {"generation": before.config["generation"]}
        return replace(changed, generation=before.generation, config=config)
    if bundle.generation.func is not beam:
        return changed
    return searching(changed, consensus, {"beam_size": 2 * bundle.generation.keywords.get("beam_size", 5)})


def forgetting(bundle: Bundle) -> Bundle:
    """The model without what it remembers; search by consensus becomes beam search of half as many captions."""
    if not isinstance(bundle.decoder, Recall):
        return bundle
    config = bundle.config | {"decoder": bundle.config["decoder"]["decoder"]}
    changed = replace(bundle, decoder=bundle.decoder.decoder, config=config)
    if bundle.generation.func is not consensus:
        return changed
    return searching(changed, beam, {"beam_size": max(1, bundle.generation.keywords.get("beam_size", 10) // 2)})


def searching(bundle: Bundle, way, options: dict) -> Bundle:
    """The model, generating in this way with the options that it has besides `weight`."""
    keywords = {name: value for name, value in bundle.generation.keywords.items() if name != "weight"} | options
    own = {name: value for name, value in bundle.config["generation"].items() if name != "weight"}
    return replace(
        bundle,
        generation=partial(way, **keywords),
        config=bundle.config | {"generation": own | {"_target_": target(way)} | options},
    )


def run(config: DictConfig, folder: Path) -> int:
    """`captioning remember`: writes the model with a memory of a data set's split. -> exit status."""
    keep_freed_memory()
    model, output = find_model(config.model), Path(config.output)
    require_place(output)
    sizes = {name: config[name] for name in ("dimensions", "neighbours", "sharpness")}
    check_options(**sizes)
    bundle = load_bundle(model, allow=config.allow)
    device = working_device(config.device)
    source = instantiate({key: value for key, value in config.data.items() if key != "split"})
    examples = [example for example in chosen_examples(source, str(config.data.split)) if example.captions]
    if bundle.encoder.takes == "image" and any(is_clip(example.file) for example in examples):
        raise UserError(f"{source.name} has clips, which {model} does not read by itself: name a data set of photos")
    look = OmegaConf.to_container(OmegaConf.create(bundle.config["encoder"]))
    options = {"batch_size": config.batch_size, "num_workers": config.num_workers, "device": device}
    store, readable = stored(config.store, source, bundle.encoder, look, examples, **options)
    if store is None:
        raise UserError("store=null: what the model remembers is read from a store; store=auto makes one")
    examples = [example for example in examples if example.id in readable]
    pooled = []
    with progress_bar(f"{source.name} {config.data.split}") as report:
        for start in range(0, len(examples), AT_ONCE):
            ids = [example.id for example in examples[start : start + AT_ONCE]]
            pooled.append(store.read(ids).pooled.float())
            report(start + len(ids), len(examples))
    changed = remembering(bundle, torch.cat(pooled), examples, **sizes)
    said = sum(len(example.captions) for example in examples)
    things = f"{len(examples):,} {source.things} of {source.name}"
    terms = f"\nNow it remembers {things} and {said:,} captions of them, no others.\n"
    save_bundle(output, changed, card=read_card(model) + terms, half=config.half)
    log.info(f"{output}: remembers {things} and {said:,} captions of them")
    return 0
