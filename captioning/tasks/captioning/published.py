"""Checkpoints of others as finished models of captioning."""

from __future__ import annotations

from functools import partial

from captioning.models.bundle import Bundle, target
from captioning.models.published.parts import Published
from captioning.tasks.captioning.task import Captioning


def as_bundle(model: Published) -> Bundle:
    """A bundle of the parts of a published checkpoint."""
    generation = {"_target_": target(model.search), **model.search_options}
    parts = {"decoder": model.decoder_config, "generation": generation}
    task = Captioning.of(model.decoder, model.vocabulary, partial(model.search, **model.search_options), parts)
    return Bundle(model.encoder, model.encoder_config, task.eval())


def card(model: Published, title: str) -> str:
    """The README.md of such a bundle."""
    return f"# {title}\n\n{model.origin}\n"
