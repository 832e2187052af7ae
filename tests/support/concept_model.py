"""A small model that reads concepts, and captions that it may remember by what they name."""

from functools import partial

import torch

from captioning.decoders.concepts import ConceptReader
from captioning.decoders.transformer import Transformer
from captioning.encoders.concepts import ConceptEncoder
from captioning.encoders.grid import GridEncoder
from captioning.encoders.nouns import ImageNetNouns
from captioning.generation.beam import beam
from captioning.models.bundle import Bundle, target
from captioning.tasks.captioning.task import Captioning
from captioning.text.concepts import concepts
from captioning.text.vocabulary import Vocabulary

GROUPS = [
    ["A dog runs.", "A brown dog runs on grass."],
    ["A hot dog on a table.", "A hot dog."],
    ["A man rides a horse.", "A horse and a man."],
    ["Nothing of note."],
    ["An elephant eats.", "Two elephants eat grass."],
]
WORDS = sorted({word for group in GROUPS for text in group for word in text.lower().strip(".").split()} | {"orange"})
VOCABULARY = Vocabulary(WORDS, max_words=8)
COUNT = len(concepts())


def concept_bundle():
    """A model that reads concepts, of random weights."""
    torch.manual_seed(3)
    grid = GridEncoder(backbone="test_resnet", weights="none", size=64)
    classifier = ImageNetNouns(backbones=["any"], weights="none", width=grid.width)
    classifier.install(torch.randn(1000, grid.width) * 9, torch.randn(1000))
    encoder = ConceptEncoder(encoder=grid, classifier=classifier).eval()
    look = {
        "_target_": target(ConceptEncoder),
        "encoder": {"_target_": target(GridEncoder), "backbone": "test_resnet", "size": 64},
        "classifier": {"_target_": target(ImageNetNouns), "backbones": ["any"], "width": grid.width},
    }
    options = {"width": 16, "layers": 1, "heads": 4, "feed_forward": 24}
    sizes = {"visual_width": grid.width, "vocabulary_size": len(VOCABULARY)}
    decoder = ConceptReader(Transformer(**sizes, **options), **sizes, concepts=2 * COUNT, rank=6)
    inside = {"_target_": target(Transformer), **options}
    parts = {
        "decoder": {"_target_": target(ConceptReader), "concepts": 2 * COUNT, "rank": 6, "decoder": inside},
        "generation": {"_target_": target(beam), "_partial_": True, "beam_size": 3},
    }
    task = Captioning.of(decoder.eval(), VOCABULARY, partial(beam, beam_size=3), parts)
    return Bundle(encoder, look, task.eval())
