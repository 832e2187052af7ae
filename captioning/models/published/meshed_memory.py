"""Checkpoints of aimagelab/meshed-memory-transformer: meshed_memory_transformer.pth and its vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from captioning.decoders.base import Decoder
from captioning.decoders.meshed_memory import MeshedMemory
from captioning.errors import UserError
from captioning.models.published.pickles import as_dict
from captioning.models.published.weights import Weights, embedding_rows, fill, layer, named, output_rows, stacked
from captioning.text.vocabulary import BOS, PAD, Vocabulary

THEIR_SPECIALS = ("<unk>", "<pad>", "<bos>", "<eos>")
HEADS, REGIONS = 8, 50  # which no file of theirs says


def build(
    weights: Weights, listed: Any, path: Path, heads: int, regions: int
) -> tuple[Decoder, dict[str, Any], Vocabulary, int]:
    """-> the decoder, its keywords, its words, and the width of the features that it reads.

    `listed` is what the vocabulary at `path` holds: a dict or record with `itos`, the words in their order. Images of
    fewer than `regions` tokens are filled up with zeros.
    """
    words = as_dict(listed).get("itos")
    if not isinstance(words, list) or not set(THEIR_SPECIALS) <= set(words):
        raise UserError(f"{path} is not their vocabulary: `itos` should be a list with {', '.join(THEIR_SPECIALS)}")
    at = {word: number for number, word in enumerate(words)}
    ids = [number for number, word in enumerate(words) if word not in THEIR_SPECIALS]
    layers, levels = weights.layers("decoder.layers.{}."), weights.layers("encoder.layers.{}.")
    state = named("project.0", layer(*weights.linear("encoder.fc")))
    state |= named("project.3", layer(*weights.linear("encoder.layer_norm")))
    for number in range(levels):
        ours, theirs = f"encode.{number}", f"encoder.layers.{number}"
        state |= self_attention(weights, f"{ours}.attend", f"{theirs}.mhatt.attention")
        slots, width = weights[f"{theirs}.mhatt.attention.m_k"].shape[1:]
        # theirs are scaled at every use: by the root of a head's width, and of the number of slots
        state[f"{ours}.attend.slot_keys"] = weights[f"{theirs}.mhatt.attention.m_k"][0] * (width // heads) ** 0.5
        state[f"{ours}.attend.slot_values"] = weights[f"{theirs}.mhatt.attention.m_v"][0] * slots**0.5
        state |= named(f"{ours}.attend_norm", layer(*weights.linear(f"{theirs}.mhatt.layer_norm")))
        state |= feed_forward(weights, ours, theirs)
    for number in range(layers):
        ours, theirs = f"layers.{number}", f"decoder.layers.{number}"
        state |= self_attention(weights, f"{ours}.self_attention", f"{theirs}.self_att.attention")
        state |= named(f"{ours}.self_attention_norm", layer(*weights.linear(f"{theirs}.self_att.layer_norm")))
        query, key, value, output = (weights.linear(f"{theirs}.enc_att.attention.fc_{part}") for part in "qkvo")
        state |= named(f"{ours}.cross_attention.query", layer(*query))
        state |= named(f"{ours}.cross_attention.keys_values", stacked(key, value))
        state |= named(f"{ours}.cross_attention.output", layer(*output))
        state |= named(f"{ours}.cross_attention.level_norm", layer(*weights.linear(f"{theirs}.enc_att.layer_norm")))
        for level in range(levels):
            gate = weights.linear(f"{theirs}.fc_alpha{level + 1}")
            state |= named(f"{ours}.cross_attention.gates.{level}", layer(*gate))
        state |= feed_forward(weights, ours, theirs)
    places = weights["decoder.pos_emb.weight"][1:]  # theirs count from 1
    state["positions.learned.weight"] = places
    table = embedding_rows(
        weights["decoder.word_emb.weight"], ids, begin=at["<bos>"], end=at["<eos>"], unknown=at["<unk>"]
    )
    others = {PAD: at["<pad>"], BOS: at["<bos>"]}
    head = output_rows(*weights.linear("decoder.fc"), ids, end=at["<eos>"], unknown=at["<unk>"], others=others)
    state |= {"embed.weight": table} | named("predict", layer(*head))
    weights.ignore("running_keys", "running_values", "running_mask_self_attention", "running_seq")
    weights.finish()
    hidden, width = state["encode.0.feed_forward.0.weight"].shape
    settings = {"width": width, "layers": layers, "encoder_layers": levels, "heads": heads, "slots": slots}
    settings |= {"feed_forward": hidden, "norm": "levels", "positions": "learned", "longest": len(places)}
    settings["zero_tokens"] = regions
    vocabulary = Vocabulary([words[number] for number in ids], max_words=min(20, len(places)))
    visual = state["project.0.weight"].shape[1]
    decoder = MeshedMemory(visual_width=visual, vocabulary_size=len(vocabulary), **settings)
    return fill(decoder, state, weights.path), settings, vocabulary, visual


def self_attention(weights: Weights, ours: str, theirs: str) -> dict[str, torch.Tensor]:
    *inputs, output = (weights.linear(f"{theirs}.fc_{part}") for part in "qkvo")
    return named(f"{ours}.inputs", stacked(*inputs)) | named(f"{ours}.output", layer(*output))


def feed_forward(weights: Weights, ours: str, theirs: str) -> dict[str, torch.Tensor]:
    first, last, norm = (layer(*weights.linear(f"{theirs}.pwff.{part}")) for part in ("fc1", "fc2", "layer_norm"))
    return (
        named(f"{ours}.feed_forward.0", first)
        | named(f"{ours}.feed_forward.3", last)
        | named(f"{ours}.feed_forward_norm", norm)
    )
