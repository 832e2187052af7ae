"""Giving a finished model a memory of photos and their captions, and taking it away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from captioning.decoders.base import Decoder
from captioning.decoders.concept_retrieval import ConceptRetrievalDecoder
from captioning.decoders.concepts import ConceptReader
from captioning.decoders.domain_gate import DomainGate, foreign_kinds
from captioning.decoders.retrieval import RetrievalDecoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.generation.beam import beam
from captioning.generation.consensus import beam_options, consensus
from captioning.models.bundle import Bundle, target
from captioning.tasks.captioning.kin import seldom_named, speaking_like_kin
from captioning.tasks.captioning.task import Captioning


def remembering(
    bundle: Bundle,
    pooled: Tensor,
    examples: list[Example],
    *,
    dimensions: int = 128,
    neighbours: int = 20,
    sharpness: float = 10.0,
    learned: bool = False,
) -> Bundle:
    """The model, reminded of `examples` by pictures like theirs: pooled (P, D) is what its encoder sees in them.

    What it remembered before is replaced. Beam search becomes search by consensus, of twice as many captions.
    Raises UserError where there is no caption.
    """
    before, bundle = bundle, without_retrieval(without_gate(bundle))
    task, options = bundle.task, {"neighbours": neighbours, "sharpness": sharpness}
    sizes = {"visual_width": bundle.encoder.width, "vocabulary_size": len(task.vocabulary)}
    decoder = RetrievalDecoder(task.decoder, **sizes, **options)
    captions = [[task.vocabulary.encode(text) for text in example.captions] for example in examples]
    decoder.index_captions(pooled, captions, dimensions=dimensions, learned=learned)
    config = {"_target_": target(RetrievalDecoder), "decoder": task.parts["decoder"], **options}
    if before.task.generation.func is consensus:  # as it was told to be
        task = before.task
    elif task.generation.func is beam:
        task = searching(task, consensus, {"beam_size": 2 * task.generation.keywords.get("beam_size", 5)})
    return replace(bundle, task=replaced(task, decoder=decoder, config=config).eval())


def remembering_texts(
    bundle: Bundle,
    groups: Sequence[Sequence[str]],
    *,
    neighbours: int = 30,
    sharpness: float = 8.0,
    kin: int | None = None,
) -> Bundle:
    """The model, reminded of captions of photos that nobody has by what they name; groups of one photo each.

    Photos that it remembers besides stay remembered; such captions do not, nor does a gate stay. What fewer than `kin`
    of the captions name is spoken of like its kin (`speaking_like_kin`). Raises UserError for a model that reads no
    concepts, or captions that name none.
    """
    bundle = without_gate(bundle)
    task = bundle.task
    outside = task.decoder if isinstance(task.decoder, RetrievalDecoder) else None
    inside, config = (
        (outside.decoder, task.parts["decoder"]["decoder"]) if outside else (task.decoder, task.parts["decoder"])
    )
    if isinstance(inside, ConceptRetrievalDecoder):
        inside, config = inside.decoder, config["decoder"]
    if not isinstance(inside, ConceptReader):
        raise UserError("texts= is for models that read concepts: captioning train concepts=both makes one")
    if kin:
        inside, vocabulary = speaking_like_kin(inside, task.vocabulary, seldom_named(groups, kin))
        task = Captioning.of(task.decoder, vocabulary, task.generation, task.parts)
    options = {"neighbours": neighbours, "sharpness": sharpness}
    sizes = {"visual_width": bundle.encoder.width, "vocabulary_size": len(task.vocabulary)}
    decoder = ConceptRetrievalDecoder(inside, **sizes, **options).index_captions(groups, task.vocabulary)
    config = {"_target_": target(ConceptRetrievalDecoder), "decoder": config, **options}
    if task.generation.func is beam:
        task = searching(task, consensus, {"beam_size": 2 * task.generation.keywords.get("beam_size", 5)})
    if outside is None:
        return replace(bundle, task=replaced(task, decoder=decoder, config=config).eval())
    outside.decoder, outside.vocabulary_size = decoder, len(task.vocabulary)
    return replace(
        bundle, task=replaced(task, decoder=outside, config={**task.parts["decoder"], "decoder": config}).eval()
    )


def gated(
    bundle: Bundle, found: Tensor, *, threshold: float = 0.4, sure: float = 0.3, overlooked: float | None = 0.45
) -> Bundle:
    """The model, to which photos like those that it remembers are familiar: it tells them without concepts.

    `found` (P, C) says which concepts its detector is at least `sure` of in each of the photos that it remembers.
    Raises UserError for a model that does not remember both photos and captions by concepts.
    """
    bundle = without_gate(bundle)
    task = bundle.task
    concepts = task.decoder.decoder if isinstance(task.decoder, RetrievalDecoder) else None
    if not isinstance(concepts, ConceptRetrievalDecoder):
        raise UserError("gate= is for models that remember captions by concepts: remember texts=[FILE] first")
    options = {"threshold": threshold, "sure": sure, "overlooked": overlooked}
    sizes = {"visual_width": bundle.encoder.width, "vocabulary_size": len(task.vocabulary)}
    decoder = DomainGate(task.decoder, **sizes, **options)
    decoder.foreign = foreign_kinds(found, concepts.named)
    config = {"_target_": target(DomainGate), "decoder": task.parts["decoder"], **options}
    return replace(bundle, task=replaced(task, decoder=decoder, config=config).eval())


def without_gate(bundle: Bundle) -> Bundle:
    """The model, to which no photo is familiar."""
    task = bundle.task
    if not isinstance(task.decoder, DomainGate):
        return bundle
    changed = replaced(task, decoder=task.decoder.decoder, config=task.parts["decoder"]["decoder"])
    return replace(bundle, task=changed.eval())


def without_retrieval(bundle: Bundle) -> Bundle:
    """The model without what it remembers; search by consensus becomes beam search of half as many captions."""
    task = bundle.task
    if not isinstance(task.decoder, RetrievalDecoder):
        return bundle
    changed = replaced(task, decoder=task.decoder.decoder, config=task.parts["decoder"]["decoder"])
    if task.generation.func is consensus:
        beam_size = max(1, task.generation.keywords.get("beam_size", 10) // 2)
        changed = searching(changed, beam, {"beam_size": beam_size})
    return replace(bundle, task=changed.eval())


def without_memory(bundle: Bundle) -> Bundle:
    """The model without anything that it remembers, photos or captions; it searches by beams."""
    bundle = without_retrieval(without_gate(bundle))
    task = bundle.task
    if isinstance(task.decoder, ConceptRetrievalDecoder):
        task = replaced(task, decoder=task.decoder.decoder, config=task.parts["decoder"]["decoder"])
    if task.generation.func is consensus:
        task = searching(task, beam, {"beam_size": max(1, task.generation.keywords.get("beam_size", 10) // 2)})
    return replace(bundle, task=task.eval())


def searching_with(bundle: Bundle, options: Mapping[str, Any]) -> Bundle:
    """The model, searching by consensus with these options in place of its own, those left out that are None."""
    if not (options := {name: value for name, value in options.items() if value is not None}):
        return bundle
    return replace(bundle, task=searching(bundle.task, consensus, bundle.task.generation.keywords | options).eval())


def replaced(task: Captioning, *, decoder: Decoder, config: dict) -> Captioning:
    """The task with another decoder, of which `config` is the configuration."""
    return Captioning.of(decoder, task.vocabulary, task.generation, {**task.parts, "decoder": config})


def searching(task: Captioning, way: Callable, options: dict) -> Captioning:
    """The task, generating in this way with the options that it has besides those of consensus alone."""
    keywords, own = beam_options(task.generation.keywords) | options, beam_options(task.parts["generation"])
    config = {**task.parts, "generation": own | {"_target_": target(way)} | options}
    return Captioning.of(task.decoder, task.vocabulary, partial(way, **keywords), config)
