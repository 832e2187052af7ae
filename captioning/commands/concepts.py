"""What concepts=NAME makes of a configuration: the encoder with concept tokens, and a decoder that reads them."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf, open_dict

from captioning.decoders.concepts import ConceptReader
from captioning.encoders.concepts import ConceptEncoder
from captioning.models.bundle import target
from captioning.text.concepts import concepts


def apply(config: DictConfig) -> None:
    """Puts the encoder of a configuration, and its decoder where it has one, inside those of concepts."""
    tokens = OmegaConf.to_container(config.concepts, resolve=False)
    reader = tokens.pop("reader")
    with open_dict(config):
        config.encoder = {"_target_": target(ConceptEncoder), **tokens, "encoder": config.encoder}
        if "decoder" in config:
            kinds = 2 * len(concepts()) + 1  # of the detector, of the classifier, and nothing at all
            config.decoder = {"_target_": target(ConceptReader), "concepts": kinds, **reader, "decoder": config.decoder}
        config.concepts = None
