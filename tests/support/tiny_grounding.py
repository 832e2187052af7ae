"""Tiny models that locate phrases in pictures of 16 cells, one of which has a colour."""

import torch

from captioning.data.phrases import Phrase, PhrasedExample
from captioning.encoders.grid import GridEncoder
from captioning.layers.positions import grid_cells
from captioning.memory import VisualMemory
from captioning.models.bundle import Bundle
from captioning.tasks.grounding.task import Grounding
from captioning.training.model_parts import part_of

TEXT = {"_target_": "captioning.encoders.text.RecurrentText", "width": 16, "dropout": 0.0}
HEADS = {
    "grid": {
        "_target_": "captioning.heads.grounding.GridGrounding",
        **{"width": 32, "layers": 1, "heads": 2, "feed_forward": 32, "fine": 8, "dropout": 0.0},
    },
    "regions": {
        "_target_": "captioning.heads.modular_grounding.ModularGrounding",
        **{"width": 16, "fine": 8, "neighbours": 3, "dropout": 0.0},
    },
    "subject": {
        "_target_": "captioning.heads.modular_grounding.ModularGrounding",
        **{"width": 16, "fine": 8, "modules": ["subject"], "dropout": 0.0},
    },
}
HEADS["extent"] = {**HEADS["regions"], "extent": True}
COLOURS = ("red", "blue", "green")


class Width:
    """What a task asks of an encoder before there are pictures."""

    width = 12


def built(head: str, width: int = 12, **options) -> Grounding:
    torch.manual_seed(0)
    task = Grounding(text=TEXT, head=HEADS[head], vocabulary={"min_count": 1}, **options)
    task.fit(examples())
    encoder = Width()
    encoder.width = width
    task.build(encoder, part_of)
    return task.eval()


def examples(count: int = 6) -> list[PhrasedExample]:
    """Picture i shows one colour in one of 16 cells, another in a second one, and a third nowhere."""
    cells = grid_cells(torch.ones(1, 16, dtype=torch.bool))[0].tolist()
    made = []
    for i in range(count):
        first, second, third = (COLOURS[(i + k) % 3] for k in range(3))
        here, there = tuple(cells[i % 16]), tuple(cells[(i + 7) % 16])
        phrases = (
            Phrase(f"{i}a", f"the {first} one", (here,), "first"),
            Phrase(f"{i}b", f"a {second} thing", (there,), "second"),
            Phrase(f"{i}c", f"the {third} one", (), absent=True),
            *((Phrase(f"{i}d", "both things", (here, there), "both"),) if i % 2 else ()),
        )
        made.append(PhrasedExample(i, f"{i}.jpg", (), phrases=phrases))
    return made


def memory(count: int = 6) -> VisualMemory:
    """What `examples` says, in tokens."""
    generator = torch.Generator().manual_seed(3)
    x = 0.1 * torch.randn(count, 16, 12, generator=generator)
    for i in range(count):
        x[i, i % 16, i % 3] += 3.0
        x[i, (i + 7) % 16, (i + 1) % 3] += 3.0
    return VisualMemory(x, torch.ones(count, 16, dtype=torch.bool), x.mean(1))


def grounding_bundle(head: str = "grid") -> Bundle:
    """An untrained model on pictures."""
    look = {"backbone": "test_resnet", "size": 64, "weights": "none"}
    encoder = GridEncoder(**look)
    return Bundle(encoder, {"_target_": "captioning.encoders.grid.GridEncoder", **look}, built(head, encoder.width))
