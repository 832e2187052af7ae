"""Weights in the layouts of the model hub, under our names: vision towers, BERT, GPT-2 and GIT as decoders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from captioning.models.published.weights import Weights, layer, named, stacked

State = dict[str, Tensor]


def attention(weights: Weights, ours: str, theirs: str, output: str) -> State:
    """Self-attention in three layers, as one."""
    parts = [weights.linear(f"{theirs}.{part}") for part in ("query", "key", "value")]
    return named(f"{ours}.inputs", stacked(*parts)) | named(f"{ours}.output", layer(*weights.linear(output)))


def linear(weights: Weights, ours: str, theirs: str) -> State:
    return named(ours, layer(*weights.linear(theirs)))


def conv1d(weights: Weights, name: str) -> State:
    """A linear layer of GPT-2, whose weight lies the other way."""
    return layer(weights[f"{name}.weight"].T, weights[f"{name}.bias"])


def blip_tower(weights: Weights, prefix: str, depth: int) -> State:
    state = {"cls_token": weights[f"{prefix}.embeddings.class_embedding"]}
    state["pos_embed"] = weights[f"{prefix}.embeddings.position_embedding"]
    state |= linear(weights, "patch_embed.proj", f"{prefix}.embeddings.patch_embedding")
    for number in range(depth):
        ours, theirs = f"blocks.{number}", f"{prefix}.encoder.layers.{number}"
        state |= linear(weights, f"{ours}.attn.qkv", f"{theirs}.self_attn.qkv")
        state |= linear(weights, f"{ours}.attn.proj", f"{theirs}.self_attn.projection")
        state |= tower_rest(weights, ours, theirs)
    return state | linear(weights, "norm", f"{prefix}.post_layernorm")


def tower_rest(weights: Weights, ours: str, theirs: str) -> State:
    state = linear(weights, f"{ours}.norm1", f"{theirs}.layer_norm1")
    state |= linear(weights, f"{ours}.norm2", f"{theirs}.layer_norm2")
    return state | {
        name: tensor for part in ("fc1", "fc2") for name, tensor in
        linear(weights, f"{ours}.mlp.{part}", f"{theirs}.mlp.{part}").items()
    }  # fmt: skip


def clip_tower(weights: Weights, prefix: str, depth: int) -> State:
    state = {"cls_token": weights[f"{prefix}.embeddings.class_embedding"].view(1, 1, -1)}
    state["pos_embed"] = weights[f"{prefix}.embeddings.position_embedding.weight"][None]
    state["patch_embed.proj.weight"] = weights[f"{prefix}.embeddings.patch_embedding.weight"]
    for number in range(depth):
        ours, theirs = f"blocks.{number}", f"{prefix}.encoder.layers.{number}"
        parts = [weights.linear(f"{theirs}.self_attn.{part}_proj") for part in "qkv"]
        state |= named(f"{ours}.attn.qkv", stacked(*parts))
        state |= linear(weights, f"{ours}.attn.proj", f"{theirs}.self_attn.out_proj")
        state |= tower_rest(weights, ours, theirs)
    weights.ignore("embeddings.position_ids")
    state |= linear(weights, "norm_pre", f"{prefix}.pre_layrnorm")
    return state | linear(weights, "norm", f"{prefix}.post_layernorm")


def vit_tower(weights: Weights, prefix: str, depth: int) -> State:
    state = {"cls_token": weights[f"{prefix}.embeddings.cls_token"]}
    if (second := f"{prefix}.embeddings.distillation_token") in weights:
        state["dist_token"] = weights[second]
    state["pos_embed"] = weights[f"{prefix}.embeddings.position_embeddings"]
    state |= linear(weights, "patch_embed.proj", f"{prefix}.embeddings.patch_embeddings.projection")
    for number in range(depth):
        state |= vit_block(weights, f"blocks.{number}", f"{prefix}.encoder.layer.{number}", "attention.attention")
    weights.ignore("pooler.dense.weight", "pooler.dense.bias")
    return state | linear(weights, "norm", f"{prefix}.layernorm")


def vit_block(weights: Weights, ours: str, theirs: str, attention: str) -> State:
    """A layer of ViT or Swin; `attention` is what theirs calls the part with query, key and value."""
    parts = [weights.linear(f"{theirs}.{attention}.{part}") for part in ("query", "key", "value")]
    state = named(f"{ours}.attn.qkv", stacked(*parts))
    state |= linear(weights, f"{ours}.attn.proj", f"{theirs}.attention.output.dense")
    for part, name in (("norm1", "layernorm_before"), ("norm2", "layernorm_after")):
        state |= linear(weights, f"{ours}.{part}", f"{theirs}.{name}")
    state |= linear(weights, f"{ours}.mlp.fc1", f"{theirs}.intermediate.dense")
    return state | linear(weights, f"{ours}.mlp.fc2", f"{theirs}.output.dense")


def swin_tower(weights: Weights, prefix: str, depths: Sequence[int]) -> State:
    state = linear(weights, "patch_embed.proj", f"{prefix}.embeddings.patch_embeddings.projection")
    state |= linear(weights, "patch_embed.norm", f"{prefix}.embeddings.norm")
    for stage, depth in enumerate(depths):
        for number in range(depth):
            ours, theirs = f"layers.{stage}.blocks.{number}", f"{prefix}.encoder.layers.{stage}.blocks.{number}"
            state |= vit_block(weights, ours, theirs, "attention.self")
            table = "relative_position_bias_table"
            state[f"{ours}.attn.{table}"] = weights[f"{theirs}.attention.self.{table}"]
        if stage + 1 < len(depths):  # ours halve the map before a stage, theirs after one
            ours, theirs = f"layers.{stage + 1}.downsample", f"{prefix}.encoder.layers.{stage}.downsample"
            state |= linear(weights, f"{ours}.norm", f"{theirs}.norm")
            state[f"{ours}.reduction.weight"] = weights[f"{theirs}.reduction.weight"]
    weights.ignore("relative_position_index")
    return state | linear(weights, "norm", f"{prefix}.layernorm")


def bert_layer(weights: Weights, ours: str, theirs: str, *, crossing: bool) -> State:
    """A layer of BERT, with attention to the image where it is a decoder."""
    state = attention(weights, f"{ours}.self_attention", f"{theirs}.attention.self", f"{theirs}.attention.output.dense")
    state |= linear(weights, f"{ours}.self_attention_norm", f"{theirs}.attention.output.LayerNorm")
    if crossing:
        key, value = (weights.linear(f"{theirs}.crossattention.self.{part}") for part in ("key", "value"))
        state |= linear(weights, f"{ours}.cross_attention.query", f"{theirs}.crossattention.self.query")
        state |= named(f"{ours}.cross_attention.keys_values", stacked(key, value))
        state |= linear(weights, f"{ours}.cross_attention.output", f"{theirs}.crossattention.output.dense")
        state |= linear(weights, f"{ours}.cross_attention_norm", f"{theirs}.crossattention.output.LayerNorm")
    state |= linear(weights, f"{ours}.feed_forward.0", f"{theirs}.intermediate.dense")
    state |= linear(weights, f"{ours}.feed_forward.3", f"{theirs}.output.dense")
    return state | linear(weights, f"{ours}.feed_forward_norm", f"{theirs}.output.LayerNorm")


def bert(weights: Weights, prefix: str, layers: int, longest: int) -> State:
    """All of a BERT decoder but its table of words and its output layer."""
    places = weights[f"{prefix}.bert.embeddings.position_embeddings.weight"]
    if f"{prefix}.bert.embeddings.token_type_embeddings.weight" in weights:  # all words are of the first type
        places = places + weights[f"{prefix}.bert.embeddings.token_type_embeddings.weight"][0]
    state = {"positions.learned.weight": places[:longest]}
    state |= linear(weights, "embedding_norm", f"{prefix}.bert.embeddings.LayerNorm")
    for number in range(layers):
        theirs = f"{prefix}.bert.encoder.layer.{number}"
        state |= bert_layer(weights, f"layers.{number}", theirs, crossing=True)
    state |= linear(weights, "head_transform.0", f"{prefix}.cls.predictions.transform.dense")
    state |= linear(weights, "head_transform.2", f"{prefix}.cls.predictions.transform.LayerNorm")
    weights.ignore("position_ids", "bert.pooler.dense.weight", "bert.pooler.dense.bias", "predictions.decoder.bias")
    return state


def gpt2(weights: Weights, prefix: str, layers: int, longest: int) -> State:
    """All of a GPT-2 decoder but its table of words."""
    prefix = f"{prefix}.transformer"
    state = {"positions.learned.weight": weights[f"{prefix}.wpe.weight"][:longest]}
    for number in range(layers):
        ours, theirs = f"layers.{number}", f"{prefix}.h.{number}"
        names = {
            "self_attention.inputs": "attn.c_attn",
            "self_attention.output": "attn.c_proj",
            "cross_attention.query": "crossattention.q_attn",
            "cross_attention.keys_values": "crossattention.c_attn",
            "cross_attention.output": "crossattention.c_proj",
            "feed_forward.0": "mlp.c_fc",
            "feed_forward.3": "mlp.c_proj",
        }
        for our, their in names.items():
            state |= named(f"{ours}.{our}", conv1d(weights, f"{theirs}.{their}"))
        for part, norm in (("self_attention", "ln_1"), ("cross_attention", "ln_cross_attn"), ("feed_forward", "ln_2")):
            state |= linear(weights, f"{ours}.{part}_norm", f"{theirs}.{norm}")
    weights.ignore(".attn.bias", ".attn.masked_bias", "crossattention.bias", "crossattention.masked_bias")
    return state | linear(weights, "norm", f"{prefix}.ln_f")


def git(weights: Weights, layers: int, longest: int) -> State:
    """All of a GIT decoder but its table of words and its output layer."""
    state = {"positions.learned.weight": weights["git.embeddings.position_embeddings.weight"][:longest]}
    state |= linear(weights, "embedding_norm", "git.embeddings.LayerNorm")
    for number in range(layers):
        state |= bert_layer(weights, f"layers.{number}", f"git.encoder.layer.{number}", crossing=False)
    for part in range(2):
        state |= linear(weights, f"project.{part}", f"git.visual_projection.visual_projection.{part}")
    weights.ignore("embeddings.position_ids")
    return state


def in_order(table: Tensor, order: list[int]) -> Tensor:
    """Rows of a table of their tokens in our order."""
    return table[torch.tensor(order)]
