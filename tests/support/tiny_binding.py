"""A small model of several senses, of random weights, over the words of tests/support/tiny_model.py."""

from pathlib import Path

import torch
from tiny_embedder import TASK
from tiny_model import WORDS

from captioning.encoders.convolutional import PictureConvolution
from captioning.models.bundle import Bundle, save_bundle
from captioning.tasks.embedding.binding import Binding
from captioning.text.vocabulary import Vocabulary
from captioning.training.model_parts import part_of

HERE = "captioning.encoders.convolutional"
SENSES = {
    "sound": {"_target_": f"{HERE}.SoundEncoder", "seconds": 0.5, "bins": 16, "step": 0.02, "widths": [8, 16]},
    "depth": {"_target_": f"{HERE}.DepthEncoder", "size": 16, "widths": [8, 16]},
    "motion": {"_target_": f"{HERE}.ClipConvolution", "frames": 3, "size": 16, "widths": [8, 16]},
}
PICTURE = {"size": 16, "widths": [8, 16]}


def tiny_binding(examples=None, **options) -> Binding:
    """The same weights every time, in eval mode, over the words of the examples or of tiny_model."""
    task = Binding(**{**TASK, "senses": SENSES, **options})
    task.vocabulary = Vocabulary(WORDS, max_words=6)
    if examples is not None:
        task.fit(examples)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        task.build(PictureConvolution(**PICTURE), part_of)
    return task.eval()


def binding_bundle(**options) -> Bundle:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        encoder = PictureConvolution(**PICTURE).eval()
    return Bundle(encoder, {"_target_": f"{HERE}.PictureConvolution", **PICTURE}, tiny_binding(**options))


def saved_binding(folder: Path, **options) -> Path:
    return save_bundle(folder, binding_bundle(**options), card="# tiny", half=False)
