"""What classes, functions and weights were called when a model was written: its files name them."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

FORMER_NAMES = {
    "captioning.decoders.recall.Recall": "captioning.decoders.retrieval.RetrievalDecoder",
}
FORMER_KEYS = {  # parts of a weight's name between dots
    "listen": "self_attention",
    "listen_norm": "self_attention_norm",
    "look": "cross_attention",
    "look_norm": "cross_attention_norm",
    "think": "feed_forward",
    "think_norm": "feed_forward_norm",
    "said": "caption_counts",
}


def current_keys(names: Iterable[str], wanted: Container[str]) -> dict[str, str]:
    """What the weights of a model are called today -> what its file calls them.

    A name that is `wanted` as it stands is nobody's former one: decoders of other packages keep theirs.
    """
    return {name if name in wanted else _current(name): name for name in names}


def _current(name: str) -> str:
    parts = [FORMER_KEYS.get(part, part) for part in name.split(".")]
    return ".".join(["task", *parts] if parts[0] == "decoder" else parts)  # there was one task, and it wrote captions


def with_current_names(config: Any) -> Any:
    """The configuration of a bundle, at any depth with what its `_target_` are called today."""
    if isinstance(config, list):
        return [with_current_names(value) for value in config]
    if not isinstance(config, dict):
        return config
    renamed = {key: with_current_names(value) for key, value in config.items()}
    if isinstance(target := config.get("_target_"), str):
        renamed["_target_"] = FORMER_NAMES.get(target, target)
    return renamed
