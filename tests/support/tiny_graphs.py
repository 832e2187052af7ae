"""Tiny models that write graphs of, and detect things in, memories of 16 cells or small pictures."""

import torch

from captioning.data.graphs import GraphExample
from captioning.encoders.grid import GridEncoder
from captioning.layers.positions import grid_cells
from captioning.memory import VisualMemory
from captioning.models.bundle import Bundle
from captioning.tasks.recognition.detection import Detection
from captioning.tasks.scene_graphs.task import SceneGraphs
from captioning.training.model_parts import part_of

SET = {
    "_target_": "captioning.heads.detection.SetDetection",
    **{"width": 32, "heads": 2, "feed_forward": 32, "fine": 8, "layers": 1, "dropout": 0.0},
}
RELATIONS = {
    "_target_": "captioning.heads.relations.RelationHead",
    **{"width": 32, "heads": 2, "feed_forward": 32, "fine": 8, "dropout": 0.0},
}
NAMES = ("cat", "dog", "cow")
CELLS = [tuple(box) for box in grid_cells(torch.ones(1, 16, dtype=torch.bool))[0].tolist()]


class Width:
    """What a task asks of an encoder before there are pictures."""

    width = 12


def examples(count: int = 6) -> list[GraphExample]:
    """Picture i shows two things in two of 16 cells, one left of the other or above it."""
    made = []
    for i in range(count):
        first, second = i % 3, (i + 1) % 3
        places = (i, i + 1) if i % 2 else (i, i + 8)
        predicate = "left of" if i % 2 else "above"
        relations = ((0, predicate, 1),)
        boxes = tuple(CELLS[place] for place in places)
        made.append(GraphExample(i, f"{i}.jpg", (), boxes, (NAMES[first], NAMES[second]), relations=relations))
    return made


def memory(count: int = 6) -> VisualMemory:
    """What `examples` shows, in tokens."""
    x = 0.1 * torch.randn(count, 16, 12, generator=torch.Generator().manual_seed(3))
    for i in range(count):
        x[i, i, i % 3] += 3.0
        x[i, i + 1 if i % 2 else i + 8, (i + 1) % 3] += 3.0
    return VisualMemory(x, torch.ones(count, 16, dtype=torch.bool), x.mean(1))


def built(kind: type = SceneGraphs, width: int = 12, **options):
    torch.manual_seed(0)
    parts = {"detector": SET, "relations": RELATIONS} if kind is SceneGraphs else {"head": SET}
    task = kind(**{**parts, **options})
    task.fit(examples())
    encoder = Width()
    encoder.width = width
    task.build(encoder, part_of)
    task.begin(examples())
    return task.eval()


def thing_bundle(kind: type = SceneGraphs) -> Bundle:
    """An untrained model on pictures, `SceneGraphs` or `Detection`."""
    look = {"backbone": "test_resnet", "size": 64, "weights": "none"}
    encoder = GridEncoder(**look)
    return Bundle(encoder, {"_target_": "captioning.encoders.grid.GridEncoder", **look}, built(kind, encoder.width))


__all__ = ["Detection", "SceneGraphs", "built", "examples", "memory", "thing_bundle"]
