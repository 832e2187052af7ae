"""A small embedding model on disk, of random weights, over the words of tests/support/tiny_model.py."""

from pathlib import Path

import torch
from tiny_model import ENCODER, WORDS

from captioning.encoders.grid import GridEncoder
from captioning.models.bundle import Bundle, save_bundle
from captioning.tasks.embedding.task import Embedding
from captioning.text.vocabulary import Vocabulary
from captioning.training.model_parts import part_of

TASK = {
    "text": {"_target_": "captioning.encoders.text.PhraseText", "width": 16, "heads": 2},
    "image": {"_target_": "captioning.heads.projection.VisualProjection", "heads": 2},
    "objective": {"_target_": "captioning.tasks.embedding.objectives.Contrastive"},
    "width": 8,
}


def tiny_task(encoder_width: int | None = None, **options) -> Embedding:
    """The same weights every time, for an encoder of that width, or of the tiny one's."""
    task = Embedding(**{**TASK, **options})
    task.vocabulary = Vocabulary(WORDS, max_words=6)
    encoder = GridEncoder(**ENCODER, weights="none")
    if encoder_width is not None:
        encoder.width = encoder_width
    with torch.random.fork_rng():
        torch.manual_seed(5)
        task.build(encoder, part_of)
    return task.eval()


def tiny_embedder(**options) -> Bundle:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        encoder = GridEncoder(**ENCODER, weights="none").eval()
    config = {"_target_": "captioning.encoders.grid.GridEncoder", **ENCODER, "weights": "none", "finetune": False}
    return Bundle(encoder, config, tiny_task(**options))


def saved_embedder(folder: Path, **options) -> Path:
    return save_bundle(folder, tiny_embedder(**options), card="# tiny", half=False)
