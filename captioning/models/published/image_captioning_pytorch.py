"""Checkpoints of ruotianluo/ImageCaptioning.pytorch and of AoANet, which grew out of it: model.pth and infos_*.pkl."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from captioning.decoders.att2in import Att2in
from captioning.decoders.attention_on_attention import AttentionOnAttention
from captioning.decoders.base import Decoder
from captioning.decoders.show_and_tell import ShowAndTell
from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.decoders.transformer import Transformer
from captioning.decoders.up_down import UpDown
from captioning.errors import UserError
from captioning.models.published.pickles import as_dict
from captioning.models.published.weights import (
    Weights,
    after_affine,
    batch_norm,
    embedding_rows,
    fill,
    layer,
    named,
    norm,
    output_rows,
    stacked,
)
from captioning.text.vocabulary import SPECIALS, Vocabulary

BEGIN = END = 0  # and padding
NORMS = {"norm_by": "deviation", "norm_eps": 1e-6}
LONGEST = 512  # places of words that are kept of their 5,000


class Words(NamedTuple):
    """Which of their ids is which word."""

    vocabulary: Vocabulary
    ids: list[int]  # of theirs, for each word of ours
    unknown: int | None


def read_words(infos: Mapping[str, Any], options: Mapping[str, Any], path: Path) -> Words:
    """The words of an infos file. Raises UserError where there are none."""
    listed = infos.get("vocab") or options.get("vocab")
    if not isinstance(listed, dict) or not all(isinstance(word, str) for word in listed.values()):
        raise UserError(f"{path} has no words: `vocab` should map the numbers of words to words")
    by_id = {int(number): word for number, word in listed.items()}
    last = max(by_id)
    unknown = last if by_id[last] == "UNK" else None
    ids = [number for number in sorted(by_id) if number != unknown and by_id[number] not in SPECIALS]
    longest = int(options.get("max_length") or options.get("seq_length") or 20)
    return Words(Vocabulary([by_id[number] for number in ids], max_words=longest), ids, unknown)


class Mapped(NamedTuple):
    """A model of theirs as one of ours: what to build, and what of theirs goes where."""

    decoder: type[Decoder]
    settings: dict[str, Any]
    width: int  # of the features it reads
    table: Tensor  # (V', E) their embedding of words
    head: str  # what their output layer is called
    state: dict[str, Tensor]  # all else, under our names


def build(weights: Weights, infos: Any, path: Path) -> tuple[Decoder, dict[str, Any], Vocabulary, int]:
    """-> the decoder, its keywords, its words, and the width of the features that it reads.

    `infos` is what the side file at `path` holds. Raises UserError naming what is not known here.
    """
    infos = as_dict(infos)
    options = as_dict(infos.get("opt"))
    kind = str(options.get("caption_model"))
    if kind not in MODELS:
        raise UserError(f"{path}: opt.caption_model is {kind}; what can be read is {', '.join(MODELS)}")
    for name in ("norm_att_feat", "norm_box_feat", "use_box"):
        if options.get(name):
            raise UserError(f"{path}: opt.{name} is on, which has no counterpart here")
    for name, usual in (("logit_layers", 1), ("rnn_type", "lstm")):
        if options.get(name, usual) != usual:
            raise UserError(f"{path}: opt.{name} is {options[name]}; what can be read is {usual}")
    words = read_words(infos, options, path)
    mapped = MODELS[kind](weights, options)
    head = output_rows(*weights.linear(mapped.head), words.ids, end=END, unknown=words.unknown)
    table = embedding_rows(mapped.table, words.ids, begin=BEGIN, end=END, unknown=words.unknown)
    state = mapped.state | named("predict", layer(*head)) | {"embed.weight": table}
    weights.finish()
    size = len(words.vocabulary)
    decoder = mapped.decoder(visual_width=mapped.width, vocabulary_size=size, **mapped.settings)
    return fill(decoder, state, weights.path), mapped.settings, words.vocabulary, mapped.width


def fc(weights: Weights, options: Mapping[str, Any]) -> Mapped:
    """FC (Rennie et al. 2017), in its old and its new layout, which differ by names."""
    core, image = ("_core", "fc_embed") if "_core.i2h.weight" in weights else ("core", "img_embed")
    inputs, recurrent = weights.linear(f"{core}.i2h"), weights.linear(f"{core}.h2h")
    state = named("image.0", layer(*weights.linear(image)))
    state |= named("lstm.inputs", layer(inputs[0], inputs[1] + recurrent[1]))
    state |= named("lstm.recurrent", layer(recurrent[0]))
    settings = {**lstm_sizes(inputs[0], recurrent[0], options), "cell": "maxout", "batch_norm": False}
    return Mapped(ShowAndTell, settings, state["image.0.weight"].shape[1], weights["embed.weight"], "logit", state)


def show_tell(weights: Weights, options: Mapping[str, Any]) -> Mapped:
    """Show and Tell."""
    if weights.layers("core.weight_ih_l{}") != 1:
        raise UserError(f"{weights.path}: its LSTM has several layers; what can be read is one")
    state = named("image.0", layer(*weights.linear("img_embed")))
    state |= {f"lstm.{name}_l0": weights[f"core.{name}_l0"] for name in ("weight_ih", "weight_hh")}
    state |= {f"lstm.{name}_l0": torch.zeros(len(state["lstm.weight_ih_l0"])) for name in ("bias_ih", "bias_hh")}
    state |= {f"lstm.{n}_l0": weights[f"core.{n}_l0"] for n in ("bias_ih", "bias_hh") if f"core.{n}_l0" in weights}
    settings = lstm_sizes(state["lstm.weight_ih_l0"], state["lstm.weight_hh_l0"], options) | {"batch_norm": False}
    return Mapped(ShowAndTell, settings, state["image.0.weight"].shape[1], weights["embed.weight"], "logit", state)


def show_attend_tell(weights: Weights, options: Mapping[str, Any]) -> Mapped:
    """Show, Attend and Tell as they have it: no gate, no deep output, begun by the pooled vector."""
    if weights.layers("core.rnn.weight_ih_l{}") != 1:
        raise UserError(f"{weights.path}: its LSTM has several layers; what can be read is one")
    table, start = weights["embed.weight"], weights.linear("linear")
    inputs, recurrent = weights["core.rnn.weight_ih_l0"], weights["core.rnn.weight_hh_l0"]
    state = named("first_hidden", layer(*start)) | named("first_cell", layer(*start))
    state |= attention(weights, "core", "core.ctx2att", None)
    state |= named("word_gates", layer(inputs[:, : table.shape[1]], inputs.new_zeros(len(inputs))))
    state |= named("other_gates", layer(torch.cat([inputs[:, table.shape[1] :], recurrent], 1)))
    settings = lstm_sizes(inputs[:, : table.shape[1]], recurrent, options)
    settings |= {"visual": None, "attention": len(state["attend.keys.weight"]), "gated": False, "deep": False}
    width = inputs.shape[1] - table.shape[1]
    if width != start[0].shape[1]:
        raise UserError(
            f"{weights.path}: pooled vectors of {start[0].shape[1]} values and tokens of {width}: not alike"
        )
    return Mapped(ShowAttendTell, settings | {"first": "pooled"}, width, table, "logit", state)


def att2in(weights: Weights, options: Mapping[str, Any]) -> Mapped:
    """Att2in (Rennie et al. 2017)."""
    project, after = projection(weights, "att_embed", options)
    inputs, recurrent = weights.linear("core.i2h"), weights.linear("core.h2h")
    seen = weights.linear("core.a2c")
    seen = after_affine(*seen, *after) if after else seen
    bias = inputs[1] + recurrent[1]
    bias[-len(seen[1]) :] += seen[1]
    state = named("project.0", project) | attention(weights, "core.attention", "ctx2att", after)
    state |= named("word_gates", layer(inputs[0], bias)) | named("state_gates", layer(recurrent[0]))
    state |= named("seen_candidates", layer(seen[0]))
    settings = lstm_sizes(inputs[0], recurrent[0], options)
    settings |= {"visual": len(project["weight"]), "attention": len(state["attend.keys.weight"])}
    width = project["weight"].shape[1]
    return Mapped(Att2in, settings, width, weights["embed.0.weight"].relu(), "logit", state)


def up_down(weights: Weights, options: Mapping[str, Any]) -> Mapped:
    """Up-Down (Anderson et al. 2018)."""
    project, after = projection(weights, "att_embed", options)
    pooled = weights.linear("fc_embed.0")
    inputs, recurrent = weights["core.att_lstm.weight_ih"], weights["core.att_lstm.weight_hh"]
    width, visual = recurrent.shape[1], len(project["weight"])
    said, given, word = inputs.split([width, len(pooled[0]), inputs.shape[1] - width - len(pooled[0])], 1)
    spoken, again = weights["core.lang_lstm.weight_ih"], weights["core.lang_lstm.weight_hh"]
    seen, rest = spoken[:, :visual], torch.cat([spoken[:, visual:], again], 1)
    bias = lstm_bias(weights, "core.lang_lstm")
    if after:
        seen, bias = after_affine(seen, bias, *after)
    state = named("project.0", project) | named("project_pooled.0", layer(*pooled))
    state |= attention(weights, "core.attention", "ctx2att", after)
    state |= named("pooled_gates", layer(given, lstm_bias(weights, "core.att_lstm"))) | named("word_gates", layer(word))
    state |= named("attention_gates", layer(torch.cat([said, recurrent], 1)))
    state |= named("language_gates", layer(torch.cat([seen, rest], 1), bias))
    settings = lstm_sizes(word, recurrent, options) | {"pooled": "own", "visual": visual}
    settings["attention"] = len(state["attend.keys.weight"])
    if pooled[0].shape != project["weight"].shape:
        raise UserError(f"{weights.path}: pooled vectors of {pooled[0].shape[1]} values and tokens of "
                        f"{project['weight'].shape[1]}: not alike")  # fmt: skip
    return Mapped(UpDown, settings, pooled[0].shape[1], weights["embed.0.weight"].relu(), "logit", state)


def attention_on_attention(weights: Weights, options: Mapping[str, Any]) -> Mapped:
    """AoANet (Huang et al. 2019), as its authors trained it."""
    usual = {"refine": 1, "refine_aoa": 1, "use_ff": 0, "decoder_type": "AoA", "mean_feats": 1, "multi_head_scale": 1}
    for name, value in {"use_multi_head": 2, **usual}.items():
        if options.get(name, value) != value:
            raise UserError(f"{weights.path}: opt.{name} is {options[name]}; what can be read is {value}")
    project, after = projection(weights, "att_embed", options)
    state = named("project.0", project)
    if after:
        state |= named("project.3", layer(*after))
    layers = weights.layers("refiner.layers.{}.")
    for number in range(layers):
        ours, theirs = f"refine.{number}", f"refiner.layers.{number}"
        parts = [weights.linear(f"{theirs}.self_attn.linears.{part}") for part in range(3)]
        state |= named(f"{ours}.attend.inputs", stacked(*parts))
        state |= named(f"{ours}.relevance.information_gate", layer(*weights.linear(f"{theirs}.self_attn.aoa_layer.0")))
        state |= named(f"{ours}.norm", norm(weights, f"{theirs}.sublayer.0.norm"))
    state |= named("refined_norm", norm(weights, "refiner.norm"))
    state |= named("query_norm", norm(weights, "core.attention.norm"))
    inputs, recurrent = weights["core.att_lstm.weight_ih"], weights["core.att_lstm.weight_hh"]
    width = recurrent.shape[1]
    word, image = inputs.split([inputs.shape[1] - width, width], 1)
    state |= named("word_gates", layer(word, lstm_bias(weights, "core.att_lstm")))
    state |= named("other_gates", layer(torch.cat([image, recurrent], 1)))
    state |= named("cross_attention.query", layer(*weights.linear("core.attention.linears.0")))
    weight, bias = weights.linear("ctx2att")
    values, keys = zip(weight.chunk(2), bias.chunk(2), strict=True)
    state |= named("cross_attention.keys_values", stacked(keys, values))
    state |= named("relevance.information_gate", layer(*weights.linear("core.att2ctx.0")))
    if word.shape[1] != width:
        raise UserError(f"{weights.path}: words of {word.shape[1]} values and an LSTM of {width}: not alike")
    settings = {"width": width, "heads": int(options.get("num_heads", 8)), "refining_layers": layers}
    settings |= {"dropout": float(options.get("drop_prob_lm", 0.5)), "pre_norm": True, "query_norm": True, **NORMS}
    if after:
        settings["scale_tokens"] = True
    width = project["weight"].shape[1]
    return Mapped(AttentionOnAttention, settings, width, weights["embed.0.weight"].relu(), "logit", state)


def transformer(weights: Weights, options: Mapping[str, Any]) -> Mapped:
    """The Transformer with a rectified projection, and places from a table."""
    project, after = projection(weights, "att_embed", options)
    state = named("encode.project.0", project)
    if after:
        state |= named("encode.project.3", layer(*after))
    encoders, decoders = (weights.layers(f"model.{half}.layers.{{}}.") for half in ("encoder", "decoder"))
    for number in range(encoders):
        ours, theirs = f"encode.layers.{number}", f"model.encoder.layers.{number}"
        state |= self_attention(weights, f"{ours}.attend", f"{theirs}.self_attn.linears")
        state |= feed_forward(weights, f"{ours}.feed_forward", f"{theirs}.feed_forward")
        for place, part in enumerate(("attend", "feed_forward")):
            state |= named(f"{ours}.{part}_norm", norm(weights, f"{theirs}.sublayer.{place}.norm"))
    for number in range(decoders):
        ours, theirs = f"layers.{number}", f"model.decoder.layers.{number}"
        state |= self_attention(weights, f"{ours}.self_attention", f"{theirs}.self_attn.linears")
        query, key, value, output = (weights.linear(f"{theirs}.src_attn.linears.{part}") for part in range(4))
        state |= named(f"{ours}.cross_attention.query", layer(*query))
        state |= named(f"{ours}.cross_attention.keys_values", stacked(key, value))
        state |= named(f"{ours}.cross_attention.output", layer(*output))
        state |= feed_forward(weights, f"{ours}.feed_forward", f"{theirs}.feed_forward")
        for place, part in enumerate(("self_attention", "cross_attention", "feed_forward")):
            state |= named(f"{ours}.{part}_norm", norm(weights, f"{theirs}.sublayer.{place}.norm"))
    state |= named("encode.norm", norm(weights, "model.encoder.norm"))
    state |= named("norm", norm(weights, "model.decoder.norm"))
    places = weights["model.tgt_embed.1.pe"][0, :LONGEST]
    state["positions.learned.weight"] = places
    hidden, width = state["layers.0.feed_forward.0.weight"].shape
    settings = {"width": width, "layers": decoders, "encoder_layers": encoders, "feed_forward": hidden}
    settings |= {"heads": int(options.get("num_att_heads", 8)), "dropout": float(options.get("dropout", 0.1))}
    settings |= {"positions": "learned", "longest": len(places), "token_positions": False}
    settings |= {"projection": "rectified_scaled" if after else "rectified", **NORMS}
    table, width = weights["model.tgt_embed.0.lut.weight"], project["weight"].shape[1]
    return Mapped(Transformer, settings, width, table, "model.generator.proj", state)


MODELS: dict[str, Callable[[Weights, Mapping[str, Any]], Mapped]] = {
    "fc": fc,
    "newfc": fc,
    "show_tell": show_tell,
    "show_attend_tell": show_attend_tell,
    "att2in2": att2in,
    "updown": up_down,
    "topdown": up_down,
    "aoa": attention_on_attention,
    "transformer": transformer,
}

Affine = tuple[Tensor, Tensor]


def projection(weights: Weights, name: str, options: Mapping[str, Any]) -> tuple[dict[str, Tensor], Affine | None]:
    """Linear and ReLU between batch norms -> the layer with the first norm in it, and what the last does, if any."""
    kind = int(options.get("use_bn", 0))
    weight, bias = weights.linear(f"{name}.{1 if kind else 0}")
    if kind:
        weight, bias = after_affine(weight, bias, *batch_norm(weights, f"{name}.0"))
    return layer(weight, bias), batch_norm(weights, f"{name}.4") if kind == 2 else None


def attention(weights: Weights, core: str, keys: str, after: Affine | None) -> dict[str, Tensor]:
    """Additive attention; a shift of all scores, which the softmax takes away, is left out."""
    weights.ignore("alpha_net.bias")
    weight, bias = weights.linear(keys)
    if after:
        weight, bias = after_affine(weight, bias, *after)
    query, shift = weights.linear(f"{core}.h2att")
    parts = {"keys": layer(weight, bias + shift), "query": layer(query)}
    parts["score"] = layer(weights[f"{core}.alpha_net.weight"])
    return {f"attend.{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}


def self_attention(weights: Weights, ours: str, theirs: str) -> dict[str, Tensor]:
    *inputs, output = (weights.linear(f"{theirs}.{part}") for part in range(4))
    return named(f"{ours}.inputs", stacked(*inputs)) | named(f"{ours}.output", layer(*output))


def feed_forward(weights: Weights, ours: str, theirs: str) -> dict[str, Tensor]:
    first, last = (layer(*weights.linear(f"{theirs}.w_{part}")) for part in (1, 2))
    return named(f"{ours}.0", first) | named(f"{ours}.3", last)


def lstm_bias(weights: Weights, name: str) -> Tensor:
    return weights[f"{name}.bias_ih"] + weights[f"{name}.bias_hh"]


def lstm_sizes(word: Tensor, recurrent: Tensor, options: Mapping[str, Any]) -> dict[str, Any]:
    sizes = {"embedding": word.shape[1], "width": recurrent.shape[1]}
    return sizes | {"dropout": float(options.get("drop_prob_lm", 0.5))}
