"""Several finished models as one: their encoders side by side, their decoders averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from captioning.decoders.ensemble import Ensemble
from captioning.encoders.base import Encoder
from captioning.encoders.side_by_side import SideBySide
from captioning.errors import UserError
from captioning.models.bundle import Bundle, target
from captioning.tasks.captioning.retrieval_memory import replaced, without_memory

Part = tuple[Encoder, dict[str, Any]]  # an encoder and its configuration


def join(bundles: Sequence[Bundle], names: Sequence[str]) -> Bundle:
    """A bundle that says what all of `bundles` believe together, in the way of generating of the first.

    An encoder that several have is kept once, and each decoder goes on seeing what its own encoder gives. What they
    remember (`captioning remember`) is left out.
    Raises UserError, by their `names`, where vocabularies differ or encoders cannot stand side by side.
    """
    bundles = [without_memory(bundle) for bundle in bundles]
    first = bundles[0]
    for bundle, name in zip(bundles, names, strict=True):
        if bundle.task.vocabulary.words != first.task.vocabulary.words:
            raise UserError(
                f"{name} and {names[0]} have other words: train one with start=THE_OTHER, whose words it then takes"
            )
    seen = [[(part.digest(config), (part, config)) for part, config in parts(bundle)] for bundle in bundles]
    distinct: dict[str, Part] = {digest: part for each in seen for digest, part in each}
    if len(distinct) == 1 and not isinstance(first.encoder, SideBySide):
        encoder, look = first.encoder, first.encoder_config
    else:
        try:
            encoder = SideBySide(encoders=[part for part, _ in distinct.values()])
        except UserError as error:
            raise UserError(f"{', '.join(names)} do not see alike, and only grids join: {error}") from None
        look = {"_target_": target(SideBySide), "encoders": [config for _, config in distinct.values()]}
    at, spans = 0, {}
    for digest, (part, _) in distinct.items():
        spans[digest] = [at, at := at + part.width]
    channels = [[spans[digest] for digest, _ in each] for each in seen]
    decoder = Ensemble([bundle.task.decoder for bundle in bundles], channels)
    decoders = [bundle.task.parts["decoder"] | {"visual_width": bundle.encoder.width} for bundle in bundles]
    say = {"_target_": target(Ensemble), "decoders": decoders, "channels": channels}
    return Bundle(encoder.eval(), look, replaced(first.task, decoder=decoder, config=say).eval())


def parts(bundle: Bundle) -> list[Part]:
    """The encoders that stand side by side in a bundle's, or its one encoder."""
    if not isinstance(bundle.encoder, SideBySide):
        return [(bundle.encoder, bundle.encoder_config)]
    return list(zip(bundle.encoder.encoders, bundle.encoder_config["encoders"], strict=True))
