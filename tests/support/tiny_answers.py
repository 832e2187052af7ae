"""Tiny models that answer questions about six pictures whose tokens hold a colour."""

import torch

from captioning.data.questions import Question, QuestionedExample
from captioning.encoders.base import Encoder
from captioning.memory import VisualMemory
from captioning.models.bundle import Bundle
from captioning.tasks.question_answering.classification import AnswerClassification
from captioning.tasks.question_answering.generation import AnswerGeneration
from captioning.training.model_parts import part_of

HEADS = {
    "up_down": {"_target_": "captioning.heads.answers.UpDownAnswers", "embedding": 16, "width": 32, "dropout": 0.0},
    "co_attention": {
        "_target_": "captioning.heads.answers.CoAttention",
        **{"width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "dropout": 0.0},
    },
    "bag_of_ngrams": {
        "_target_": "captioning.heads.bag_of_ngrams.BagOfNGrams",
        **{"buckets": 500, "width": 32, "dropout": 0.0, "gram_dropout": 0.0},
    },
}
DECODERS = {
    "written_by_lstm": {
        "_target_": "captioning.decoders.up_down.UpDown",
        **{"embedding": 16, "width": 32, "attention": 16, "dropout": 0.0},
    },
    "written_by_transformer": {
        "_target_": "captioning.decoders.transformer.Transformer",
        **{"width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "dropout": 0.0},
    },
}
BEAM = {"_target_": "captioning.generation.beam.beam", "_partial_": True, "beam_size": 2}
FORMS = {
    **{name: lambda head=head: AnswerClassification(head=head) for name, head in HEADS.items()},
    **{name: lambda d=decoder: AnswerGeneration(decoder=d, generation=BEAM) for name, decoder in DECODERS.items()},
}


class Width:
    """What a task asks of an encoder before there are pictures."""

    width = 12


def built(form: str, examples, width: int = 12):
    torch.manual_seed(0)
    task = FORMS[form]()
    task.fit(examples)
    encoder = Width()
    encoder.width = width
    task.build(encoder, part_of)
    return task


def examples(count: int = 6) -> list[QuestionedExample]:
    colours = ("red", "blue", "dark green")
    return [
        QuestionedExample(
            i,
            f"{i}.jpg",
            (),
            questions=(
                Question(f"{i}a", "what colour is it?", (colours[i % 3],), colours[i % 3]),
                Question(f"{i}b", "is it red?", ("yes" if i % 3 == 0 else "no",), "yes" if i % 3 == 0 else "no"),
                *((Question(f"{i}c", "what is on the table?", ("book, lamp",), "book, lamp"),) if i % 2 else ()),
            ),
        )
        for i in range(count)
    ]


def memory(count: int = 6) -> VisualMemory:
    """The colour of image i is in its tokens."""
    generator = torch.Generator().manual_seed(3)
    x = 0.1 * torch.randn(count, 4, 12, generator=generator)
    x[torch.arange(count), 1, torch.arange(count) % 3] += 3.0
    return VisualMemory(x, torch.ones(count, 4, dtype=torch.bool), x.mean(1))


def answering_bundle(form: str, *, clips: bool = False) -> Bundle:
    """An untrained model of one of `FORMS` on pictures, or on four frames of each clip."""
    look = {"_target_": "captioning.encoders.grid.GridEncoder", "backbone": "test_resnet", "size": 64}
    look["weights"] = "none"
    if clips:
        look = {"image": look, "sampling": {"frames": 4}, "pool": "grid"}
        look["_target_"] = "captioning.encoders.frames.FrameEncoder"
    encoder = part_of(look, Encoder)
    task = built(form, examples(), encoder.width)
    return Bundle(encoder, look, task)
