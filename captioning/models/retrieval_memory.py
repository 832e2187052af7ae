"""Giving a finished model a memory of photos and their captions, and taking it away."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from torch import Tensor

from captioning.decoders.retrieval import RetrievalDecoder
from captioning.example import Example
from captioning.generation.beam import beam
from captioning.generation.consensus import consensus
from captioning.models.bundle import Bundle, target

log = logging.getLogger("captioning")


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
    before, bundle = bundle, without_retrieval(bundle)
    options = {"neighbours": neighbours, "sharpness": sharpness}
    sizes = {"visual_width": bundle.encoder.width, "vocabulary_size": len(bundle.vocabulary)}
    decoder = RetrievalDecoder(bundle.decoder, **sizes, **options)
    captions = [[bundle.vocabulary.encode(text) for text in example.captions] for example in examples]
    decoder.index_captions(pooled, captions, dimensions=dimensions)
    say = {"_target_": target(RetrievalDecoder), "decoder": bundle.config["decoder"], **options}
    changed = replace(bundle, decoder=decoder.eval(), config=bundle.config | {"decoder": say})
    if before.generation.func is consensus:  # as it was told to be
        config = changed.config | {"generation": before.config["generation"]}
        return replace(changed, generation=before.generation, config=config)
    if bundle.generation.func is not beam:
        return changed
    return searching(changed, consensus, {"beam_size": 2 * bundle.generation.keywords.get("beam_size", 5)})


def without_retrieval(bundle: Bundle) -> Bundle:
    """The model without what it remembers; search by consensus becomes beam search of half as many captions."""
    if not isinstance(bundle.decoder, RetrievalDecoder):
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
