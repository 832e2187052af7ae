"""Checkpoints of sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning: whole pickled modules, and WORDMAP_*.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captioning.decoders.base import Decoder
from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.errors import UserError
from captioning.models.published.pickles import Record
from captioning.models.published.weights import Weights, embedding_rows, fill, layer, named, output_rows
from captioning.text.vocabulary import BOS, PAD, Vocabulary

THEIR_SPECIALS = ("<pad>", "<unk>", "<start>", "<end>")


def tensors(module: Any, prefix: str = "") -> dict[str, Tensor]:
    """The parameters and buffers of a pickled module that was read as a record, under the names of its state dict."""
    found: dict[str, Tensor] = {}
    if isinstance(module, Record):
        for kind in ("_parameters", "_buffers"):
            held = getattr(module, kind, None) or {}
            found |= {f"{prefix}{name}": value for name, value in held.items() if isinstance(value, Tensor)}
        for name, part in (getattr(module, "_modules", None) or {}).items():
            found |= tensors(part, f"{prefix}{name}.")
    return found


def build(weights: Weights, listed: Any, path: Path) -> tuple[Decoder, dict[str, Any], Vocabulary, int]:
    """-> the decoder, its keywords, its words, and the width of the tokens that it reads.

    `listed` is the word map at `path`: words to numbers. Raises UserError naming what does not fit.
    """
    if not isinstance(listed, Mapping) or not set(THEIR_SPECIALS) <= set(listed):
        raise UserError(
            f"{path} is not their word map: it should have numbers of {', '.join(THEIR_SPECIALS)} and words"
        )
    words = sorted((word for word in listed if word not in THEIR_SPECIALS), key=listed.__getitem__)
    ids = [listed[word] for word in words]
    inputs, recurrent = (weights[f"decode_step.weight_{part}"] for part in ("ih", "hh"))
    bias = weights["decode_step.bias_ih"] + weights["decode_step.bias_hh"]
    table = weights["embedding.weight"]
    keys, query = (weights.linear(f"attention.{part}_att") for part in ("encoder", "decoder"))
    state = named("first_hidden", layer(*weights.linear("init_h"))) | named(
        "first_cell", layer(*weights.linear("init_c"))
    )
    state |= named("attend.keys", layer(keys[0], keys[1] + query[1])) | named("attend.query", layer(query[0]))
    state |= named("attend.score", layer(weights["attention.full_att.weight"]))
    state |= named("gate", layer(*weights.linear("f_beta")))
    state |= named("word_gates", layer(inputs[:, : table.shape[1]], bias))
    state |= named("other_gates", layer(torch.cat([inputs[:, table.shape[1] :], recurrent], 1)))
    unknown = listed["<unk>"]
    others = {PAD: listed["<pad>"], BOS: listed["<start>"]}
    head = output_rows(*weights.linear("fc"), ids, end=listed["<end>"], unknown=unknown, others=others)
    state |= named("predict", layer(*head))
    state["embed.weight"] = embedding_rows(table, ids, begin=listed["<start>"], end=listed["<end>"], unknown=unknown)
    weights.ignore("full_att.bias")  # a shift of all scores
    weights.finish()
    settings = {"visual": None, "embedding": table.shape[1], "width": recurrent.shape[1], "attention": len(keys[0])}
    settings |= {"deep": False, "activation": "relu", "first": "linear"}
    vocabulary, width = Vocabulary(words, max_words=50), keys[0].shape[1]
    decoder = ShowAttendTell(visual_width=width, vocabulary_size=len(vocabulary), **settings)
    return fill(decoder, state, weights.path), settings, vocabulary, width
