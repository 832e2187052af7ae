"""Captioners of the model hub, or folders in its layout: BLIP, ViT, DeiT or Swin with GPT-2 or BERT, GIT."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captioning.decoders.base import Decoder
from captioning.decoders.prefix_transformer import PrefixTransformer
from captioning.decoders.transformer import Transformer
from captioning.encoders.vision_tower import SwinTower, VisionTower
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.generation.greedy import greedy
from captioning.models.bundle import target
from captioning.models.published import hub_weights as names
from captioning.models.published.layout import is_hub_folder
from captioning.models.published.parts import Published
from captioning.models.published.pickles import one_line
from captioning.models.published.weights import NEVER_SAID, Weights, fill, read_tensors
from captioning.text.subwords import Subwords
from captioning.text.vocabulary import BOS, EOS, PAD, UNK

WANTED = ("*.json", "*.safetensors", "pytorch_model*.bin", "vocab.txt", "merges.txt", "*.jinja", "*.model")
LONGEST = 128  # tokens of a caption for which places are kept
JOINED = {"encoder": ("vit", "deit", "swin"), "decoder": ("gpt2", "bert")}
ACTIVATIONS = {"gelu": "gelu", "relu": "relu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
NEEDS = "captioners of the model hub need: pip install captioning[hub]"


def fetch(name: str) -> Path:
    """The folder of a model of the hub, fetched where it is not here yet. Raises UserError with the remedy."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise UserError(f"{name}: {NEEDS}") from None
    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED)))
    except Exception as error:  # whatever the hub's client raises, the remedy is the same
        raise UserError(
            f"{name} is no model here, and could not be fetched from the model hub ({type(error).__name__}). "
            "Check the name, connect to the network, or give a folder that it was copied to"
        ) from None


def import_hub(folder: Path, name: str | None = None) -> Published:
    """The captioner in a folder of the hub's layout. Raises UserError naming the file that does not fit."""
    config = read_config(folder)
    kind = str(config.get("model_type"))
    if kind not in KINDS:
        raise UserError(
            f"{folder}/config.json describes a {kind}; what becomes a model here is {', '.join(KINDS)}. "
            "captioning caption --model uses further kinds as they are"
        )
    file = find_weights(folder)
    content = read_tensors(file)
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    weights = Weights(tensors, file)
    try:
        return KINDS[kind](folder, config, weights, name or folder.name)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"{folder}/config.json does not describe a {kind} that is known here: {one_line(error)}"
        ) from None


def kind_of(folder: Path) -> str:
    """What a folder's config.json calls its kind of model. Raises UserError where that cannot be read."""
    return str(read_json(folder / "config.json").get("model_type"))


def can_be_imported(folder: Path) -> bool:
    """Whether a folder holds what `import_hub` makes a model of. Raises UserError where that cannot be read."""
    config = read_json(folder / "config.json")
    if config.get("model_type") != "vision-encoder-decoder":
        return config.get("model_type") in KINDS
    parts = [part.get("model_type") if isinstance(part := config.get(name), dict) else None for name in JOINED]
    return all(part in known for part, known in zip(parts, JOINED.values(), strict=True))


def read_config(folder: Path) -> dict[str, Any]:
    """The whole configuration, defaults filled in. Raises UserError naming what is wrong."""
    if not is_hub_folder(folder):
        raise UserError(f"{folder} is not whole: config.json is missing")
    plain = read_json(folder / "config.json")
    if plain.get("model_type") not in KINDS:
        return plain
    try:
        from transformers import AutoConfig
    except ImportError:
        raise UserError(f"{folder}: {NEEDS}") from None
    try:
        return AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False).to_dict()
    except Exception as error:
        raise UserError(f"{folder}/config.json cannot be read: {one_line(error)}") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises UserError naming the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is not what it should be: no object")
    return content


def find_weights(folder: Path) -> Path:
    """model.safetensors, or else pytorch_model.bin. Raises UserError where there is neither."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder} is not whole: model.safetensors is missing")


def vocabulary_of(folder: Path, specials: Mapping[int, int | None], size: int, longest: int) -> Subwords:
    """The tokens of a folder; `specials` maps our PAD, BOS and EOS to theirs."""
    file = folder / "tokenizer.json"
    if file.is_file():
        text = file.read_text(encoding="utf-8")
    else:
        from transformers import AutoTokenizer

        try:
            text = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False).backend_tokenizer.to_str()
        except Exception as error:
            raise UserError(f"{folder}: its tokenizer cannot be read: {one_line(error)}") from None
    unknown = json.loads(text).get("model", {}).get("unk_token")
    listed = json.loads(text).get("model", {}).get("vocab", {})
    end = specials[EOS]
    pad = end if specials[PAD] is None else specials[PAD]
    found = [pad, specials[BOS], end, listed.get(unknown, pad) if isinstance(listed, dict) else pad]
    try:
        return Subwords(text, specials=found, size=size, max_words=longest)
    except UserError as error:
        raise UserError(f"{folder}/tokenizer.json: {error}") from None


def search_of(folder: Path, config: Mapping[str, Any], longest: int) -> tuple[Callable, dict[str, Any]]:
    """The search that a folder asks for, which says what `generate` says."""
    file = folder / "generation_config.json"
    given = {**config, **(read_json(file) if file.is_file() else {})}
    beams = int(given.get("num_beams") or 1)
    max_words = min(longest, int(given.get("max_length") or 20) - 1)  # theirs counts the begin
    options: dict[str, Any] = {"max_words": max_words}
    if blocked := int(given.get("no_repeat_ngram_size") or 0):
        options["block_ngrams"] = blocked
    if beams == 1:
        return greedy, options
    penalty = given.get("length_penalty")
    normalised = "none" if penalty == 0 else "average"
    return beam, {**options, "beam_size": beams, "length_normalisation": normalised, "finished": "aside"}


def pixels_of(folder: Path, size: int) -> dict[str, Any]:
    """How a picture is brought to the tower."""
    file = folder / "preprocessor_config.json"
    given = read_json(file) if file.is_file() else {}
    how = {2: "bilinear", 3: "bicubic"}.get(given.get("resample", 3), "bicubic")
    options: dict[str, Any] = {"size": size, "resample": how, "crop": bool(given.get("do_center_crop"))}
    for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
        if theirs in given:
            options[ours] = [float(number) for number in given[theirs]]
    return options


def square(value: Any) -> int:
    """One number, or two equal ones."""
    return int(value[0] if isinstance(value, (list, tuple)) else value)


def tower(vision: Mapping[str, Any], pixels: Mapping[str, Any], state: Mapping[str, Tensor], path: Path, **more: Any):
    """-> the encoder and its configuration."""
    settings = {
        **pixels,
        "patch": square(vision["patch_size"]),
        "width": vision["hidden_size"],
        "depth": vision["num_hidden_layers"],
        "heads": vision["num_attention_heads"],
        "hidden": vision["intermediate_size"],
        "activation": vision["hidden_act"],
        "norm_eps": vision["layer_norm_eps"],
        **more,
    }
    encoder = fill(VisionTower(**settings), {f"backbone.{name}": part for name, part in state.items()}, path)
    return encoder, {"_target_": target(VisionTower), **settings}


def tower_of(vision: Mapping[str, Any], pixels: Mapping[str, Any], weights: Weights):
    """ViT, DeiT or Swin as a vision encoder-decoder has it -> the encoder and its configuration."""
    more = {"qkv_bias": vision.get("qkv_bias", True)}
    if vision["model_type"] != "swin":
        state = names.vit_tower(weights, "encoder", vision["num_hidden_layers"])
        more |= {"distilled": True} if "dist_token" in state else {}
        return tower(vision, pixels, state, weights.path, **more)
    if vision.get("use_absolute_embeddings"):
        raise UserError(f"{weights.path.parent}/config.json: a Swin with absolute positions is not known here")
    settings = {
        **pixels, **more, "patch": square(vision["patch_size"]), "width": vision["embed_dim"],
        "depths": list(vision["depths"]), "heads": list(vision["num_heads"]), "window": vision["window_size"],
        "mlp_ratio": vision["mlp_ratio"], "norm_eps": vision["layer_norm_eps"],
    }  # fmt: skip
    state = names.swin_tower(weights, "encoder", vision["depths"])
    encoder = fill(SwinTower(**settings), {f"backbone.{name}": part for name, part in state.items()}, weights.path)
    return encoder, {"_target_": target(SwinTower), **settings}


def finished(
    folder: Path,
    config: Mapping[str, Any],
    kind: type[Decoder],
    settings: Mapping[str, Any],
    state: dict[str, Tensor],
    seen: tuple[VisionTower, dict[str, Any]],
    vocabulary: Subwords,
    table: Tensor,
    head: tuple[Tensor, Tensor] | None,
    weights: Weights,
    name: str,
) -> Published:
    """The parts put together. `table` and `head` have rows of their tokens; no head is one tied to the table."""
    weights.finish()
    embedding = names.in_order(table, vocabulary.theirs)
    weight, bias = head or (table, table.new_zeros(len(table)))
    biases = names.in_order(bias, vocabulary.theirs)
    for place in (PAD, BOS, UNK):  # which share a row with the end, and must not share its probability
        if (
            vocabulary.specials[place] in vocabulary.specials[:place]
            or vocabulary.specials[place] == vocabulary.specials[EOS]
        ):
            biases[place] = NEVER_SAID
    tied = bool(torch.equal(weight, table))
    if tied:
        state |= {"embed.weight": embedding, "tied_bias": biases}
    else:
        state |= {"embed.weight": embedding, "predict.bias": biases}
        state["predict.weight"] = names.in_order(weight, vocabulary.theirs)
    options = {**settings, **({"tied": tied} if kind is Transformer else {})}
    encoder, look = seen
    decoder = kind(visual_width=encoder.width, vocabulary_size=len(vocabulary), **options)
    search, search_options = search_of(folder, config, vocabulary.max_words)
    return Published(
        encoder=encoder,
        decoder=fill(decoder, state, weights.path),
        vocabulary=vocabulary,
        search=search,
        search_options=search_options,
        encoder_config=look,
        decoder_config={"_target_": target(kind), **options},
        origin=f"Imported from {name} of the model hub, whose terms it keeps.",
    )


BERT = {"pre_norm": False, "scaled": False, "embedding_norm": True, "final_norm": False, "head_transform": True}
WORDS_ALONE = {"positions": "learned", "token_positions": False, "token_norm": False}


def blip(folder: Path, config: dict[str, Any], weights: Weights, name: str) -> Published:
    text, vision = config["text_config"], config["vision_config"]
    pixels = pixels_of(folder, square(vision["image_size"]))
    state = names.blip_tower(weights, "vision_model", vision["num_hidden_layers"])
    seen = tower(vision, pixels, state, weights.path)
    longest = min(LONGEST, text["max_position_embeddings"])
    state = names.bert(weights, "text_decoder", text["num_hidden_layers"], longest)
    settings = {
        **BERT, **WORDS_ALONE, **sizes(text, longest),
        "projection": "none", "dropout": text["hidden_dropout_prob"],
    }  # fmt: skip
    specials = {PAD: text["pad_token_id"], BOS: text["bos_token_id"], EOS: text["sep_token_id"]}
    vocabulary = vocabulary_of(folder, specials, text["vocab_size"], min(50, longest))
    table = weights["text_decoder.bert.embeddings.word_embeddings.weight"]
    head = bert_head(weights, "text_decoder", table)
    return finished(folder, config, Transformer, settings, state, seen, vocabulary, table, head, weights, name)


def sizes(text: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """What a BERT-like decoder is built with."""
    return {
        "width": text["hidden_size"],
        "layers": text["num_hidden_layers"],
        "heads": text["num_attention_heads"],
        "feed_forward": text["intermediate_size"],
        "activation": ACTIVATIONS[text["hidden_act"]],
        "norm_eps": text["layer_norm_eps"],
        "longest": longest,
    }


def bert_head(weights: Weights, prefix: str, table: Tensor) -> tuple[Tensor, Tensor]:
    own = f"{prefix}.cls.predictions.decoder.weight"
    return weights[own] if own in weights else table, weights[f"{prefix}.cls.predictions.bias"]


def vision_encoder_decoder(folder: Path, config: dict[str, Any], weights: Weights, name: str) -> Published:
    text, vision = config["decoder"], config["encoder"]
    if vision["model_type"] not in JOINED["encoder"] or text["model_type"] not in JOINED["decoder"]:
        known = " with ".join(" or ".join(kinds) for kinds in JOINED.values())
        raise UserError(
            f"{folder}/config.json: it joins {vision['model_type']} and {text['model_type']}; what becomes a model "
            f"here is {known}"
        )
    seen = tower_of(vision, pixels_of(folder, square(vision["image_size"])), weights)
    end = config.get("eos_token_id") if config.get("eos_token_id") is not None else text["eos_token_id"]
    start = config.get("decoder_start_token_id")
    specials = {PAD: config.get("pad_token_id"), BOS: text["bos_token_id"] if start is None else start, EOS: end}
    if text["model_type"] == "gpt2":
        longest = min(LONGEST, text["n_positions"])
        state = names.gpt2(weights, "decoder", text["n_layer"], longest)
        settings = {
            **WORDS_ALONE, "scaled": False, "width": text["n_embd"], "layers": text["n_layer"], "heads": text["n_head"],
            "feed_forward": text["n_inner"] or 4 * text["n_embd"], "longest": longest,
            "activation": ACTIVATIONS[text["activation_function"]], "norm_eps": text["layer_norm_epsilon"],
            "dropout": text["resid_pdrop"],
        }  # fmt: skip
        table, head = weights["decoder.transformer.wte.weight"], None
        if "decoder.lm_head.weight" in weights:
            head = weights["decoder.lm_head.weight"], table.new_zeros(len(table))
    else:
        longest = min(LONGEST, text["max_position_embeddings"])
        state = names.bert(weights, "decoder", text["num_hidden_layers"], longest)
        settings = {**BERT, **WORDS_ALONE, **sizes(text, longest), "dropout": text["hidden_dropout_prob"]}
        table = weights["decoder.bert.embeddings.word_embeddings.weight"]
        head = bert_head(weights, "decoder", table)
    settings["projection"] = "none"
    if "enc_to_dec_proj.weight" in weights:
        settings["projection"] = "linear"
        state |= names.linear(weights, "encode.project.0", "enc_to_dec_proj")
    vocabulary = vocabulary_of(folder, specials, text["vocab_size"], min(50, longest))
    return finished(folder, config, Transformer, settings, state, seen, vocabulary, table, head, weights, name)


def git(folder: Path, config: dict[str, Any], weights: Weights, name: str) -> Published:
    vision = config["vision_config"]
    if config.get("num_image_with_embedding"):
        raise UserError(f"{folder}/config.json: num_image_with_embedding is on, which is for clips and not known here")
    pixels = pixels_of(folder, square(vision["image_size"]))
    state = names.clip_tower(weights, "git.image_encoder.vision_model", vision["num_hidden_layers"])
    seen = tower(vision, pixels, state, weights.path, pre_norm=True)
    longest = min(LONGEST, config["max_position_embeddings"])
    state = names.git(weights, config["num_hidden_layers"], longest)
    settings = {**sizes(config, longest), "dropout": config["hidden_dropout_prob"]}
    settings["projection_eps"] = vision["layer_norm_eps"]
    specials = {PAD: config["pad_token_id"], BOS: config["bos_token_id"], EOS: config["eos_token_id"]}
    vocabulary = vocabulary_of(folder, specials, config["vocab_size"], min(50, longest))
    head = weights.linear("output")
    table = weights["git.embeddings.word_embeddings.weight"]
    return finished(folder, config, PrefixTransformer, settings, state, seen, vocabulary, table, head, weights, name)


KINDS: dict[str, Callable[..., Published]] = {
    "blip": blip,
    "vision-encoder-decoder": vision_encoder_decoder,
    "git": git,
}
