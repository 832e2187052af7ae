"""Finds out what a published checkpoint is, and makes a model of it that says what its authors' code says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from captioning.decoders.base import Decoder
from captioning.encoders.imported import Imported, configuration
from captioning.errors import UserError
from captioning.generation.beam import beam
from captioning.models.bundle import target
from captioning.models.published import image_captioning_pytorch, meshed_memory, tutorial
from captioning.models.published.hub import fetch, import_hub
from captioning.models.published.layout import is_hub_folder, looks_like_a_name
from captioning.models.published.parts import Published
from captioning.models.published.pickles import as_dict, one_line, read_pickle
from captioning.models.published.weights import Weights, read_tensors
from captioning.text.vocabulary import Vocabulary

FEATURES = "imported"  # what a store of `captioning extract import=` calls what it holds
PICKLES = (".pkl", ".pickle")


def import_checkpoint(
    source: Path, *, words: Path | None = None, heads: int = meshed_memory.HEADS, regions: int = meshed_memory.REGIONS
) -> Published:
    """What a folder, a file of weights, or a name of the model hub holds.

    `words` is the side file where it does not lie beside the weights.
    `heads` and `regions` are what meshed-memory's files do not say: heads of attention, and the number to which its
    authors fill up the regions of a photo with zeros. Raises UserError naming what is missing or unknown.
    """
    if looks_like_a_name(str(source)) or is_hub_folder(source):
        return import_hub(source if is_hub_folder(source) else fetch(str(source)), str(source))
    weights_file = find_weights(source)
    content = read_tensors(weights_file)
    if isinstance(module := as_dict(content).get("decoder"), tutorial.Record):
        weights = Weights(tutorial.tensors(module), weights_file)
        side = words or beside(weights_file, "WORDMAP*.json")
        built = tutorial.build(weights, read_side(side), side)
        return published(*built, "the tutorial of sgrvinod on image captioning")
    content = as_dict(content)
    weights = Weights(tensors_of(content.get("state_dict", content), weights_file), weights_file)
    if "decoder.word_emb.weight" in weights:
        side = words or beside(weights_file, "vocabulary.json", "vocab.json", "vocab.pkl")
        built = meshed_memory.build(weights, read_side(side), side, heads, regions)
        return published(*built, "aimagelab/meshed-memory-transformer")
    if "embed.weight" in weights or "embed.0.weight" in weights or "model.tgt_embed.0.lut.weight" in weights:
        side = words or beside(weights_file, "infos*.json", "infos*-best.pkl", "infos*.pkl")
        built = image_captioning_pytorch.build(weights, read_side(side), side)
        return published(*built, "ruotianluo/ImageCaptioning.pytorch")
    raise UserError(
        f"{weights_file} is none of the checkpoints that are known: of ImageCaptioning.pytorch, AoANet, "
        "meshed-memory-transformer or sgrvinod's tutorial"
    )


def published(decoder: Decoder, settings: dict[str, Any], vocabulary: Vocabulary, width: int, origin: str) -> Published:
    """A model of features that others computed, which says what a beam of five finds, as the authors' do."""
    kind = type(decoder)
    return Published(
        encoder=Imported(width=width, name=FEATURES).eval(),
        decoder=decoder,
        vocabulary=vocabulary,
        search=beam,
        search_options={"beam_size": 5, "max_words": vocabulary.max_words},
        encoder_config=configuration(width, FEATURES),
        decoder_config={"_target_": target(kind), **settings},
        origin=f"Imported from a checkpoint of {origin}, whose terms it keeps. It reads features that others computed.",
    )


def find_weights(source: Path) -> Path:
    """The file of weights that is meant. Raises UserError where a folder has none, or several."""
    if source.is_file():
        return source
    if not source.is_dir():
        raise UserError(f"{source}: there is no such file or folder to import")
    for pattern in ("model-best.pth", "model.pth", "BEST_*.tar", "*.pth", "*.tar", "*.safetensors"):
        found = sorted(source.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(
                f"{source} has {len(found)} files of weights, {found[0].name} is the first: name one of them"
            )
    raise UserError(
        f"{source} has no weights in it: model.pth, or another file that ends in .pth, .tar or .safetensors"
    )


def beside(weights: Path, *patterns: str) -> Path:
    """The side file of a file of weights. Raises UserError naming what is missing."""
    for pattern in patterns:
        found = sorted(weights.parent.glob(pattern))
        if found:
            return found[0]
    raise UserError(f"{weights} needs its words: put {' or '.join(patterns)} beside it, or say --words FILE")


def read_side(path: Path) -> Any:
    """A JSON file, or a pickle of plain data. Raises UserError naming it."""
    if path.suffix in PICKLES:
        return read_pickle(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON: {one_line(error)}") from None


def tensors_of(content: Any, path: Path) -> dict[str, Any]:
    """The named tensors among what a file holds. Raises UserError where there are none."""
    found = {
        str(k): v for k, v in as_dict(content).items() if hasattr(v, "detach") and not isinstance(v, tutorial.Record)
    }
    if not found:
        raise UserError(f"{path} holds no named tensors")
    return found
