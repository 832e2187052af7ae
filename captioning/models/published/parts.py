"""What an importer makes of a published checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from captioning.decoders.base import Decoder
from captioning.encoders.base import Encoder
from captioning.text.subwords import Subwords
from captioning.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Published:
    """A checkpoint of others as the parts of a model here."""

    encoder: Encoder
    decoder: Decoder
    vocabulary: Vocabulary | Subwords
    search: Callable  # of `captioning.generation`
    search_options: dict[str, Any]
    encoder_config: dict[str, Any]
    decoder_config: dict[str, Any]
    origin: str  # one sentence for the model's card
