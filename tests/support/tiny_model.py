"""A small model on disk, of random weights that say something different of every picture."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from captioning.decoders.show_and_tell import ShowAndTell
from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.encoders.base import Encoder
from captioning.encoders.grid import GridEncoder
from captioning.generation.beam import beam
from captioning.models.bundle import Bundle, save_bundle
from captioning.tasks.captioning.task import Captioning
from captioning.text.vocabulary import Vocabulary

WORDS = "a the dog cat red blue runs sits on under grass water two small big ball".split()
ENCODER = {"backbone": "test_resnet", "size": 64}
SIZES = {"embedding": 16, "width": 16}
DECODERS = {
    "show_and_tell": (ShowAndTell, SIZES),
    "show_attend_tell": (ShowAttendTell, {**SIZES, "visual": 16, "attention": 8}),
}


def tiny_bundle(decoder: str = "show_attend_tell", encoder: Encoder | None = None, look: dict | None = None) -> Bundle:
    """The same weights every time; with an encoder of one's own and the configuration `look` of it."""
    kind, options = DECODERS[decoder]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        vocabulary = Vocabulary(WORDS, max_words=6)
        encoder = GridEncoder(**ENCODER, weights="none") if encoder is None else encoder
        mouth = kind(visual_width=encoder.width, vocabulary_size=len(vocabulary), **options)
        for parameter in mouth.parameters():  # far from the uniform distribution that a fresh model believes in
            torch.nn.init.normal_(parameter, std=0.7)
        for layer in mouth.modules():  # random features differ little
            if isinstance(layer, torch.nn.Linear) and layer.in_features == encoder.width:
                layer.weight.data *= 100
    trained = {"weights": "none", "finetune": False}
    look = look or {"_target_": "captioning.encoders.grid.GridEncoder", **ENCODER, **trained}
    parts = {
        "decoder": {"_target_": f"{kind.__module__}.{kind.__name__}", **options},
        "generation": {"_target_": "captioning.generation.beam.beam", "_partial_": True, "beam_size": 3},
    }
    task = Captioning.of(mouth, vocabulary, partial(beam, beam_size=3), parts)
    return Bundle(encoder.eval(), look, task.eval())


def saved_model(folder: Path, decoder: str = "show_attend_tell", **options) -> Path:
    return save_bundle(folder, tiny_bundle(decoder), card="# tiny", **options)


def pictures(count: int, size: int = 64) -> list[Image.Image]:
    """Pictures that differ, of one size."""
    noise = np.random.default_rng(0)
    coarse = noise.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return [Image.fromarray(each).resize((size, size), Image.Resampling.NEAREST) for each in coarse]
