"""A finished model that writes graphs: pictures in, things and relations out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from captioning.boxes import Box
from captioning.encoders.detectors.bare import LEAST, check_least
from captioning.errors import UserError
from captioning.runtime.option_checks import require_least
from captioning.tasks.recognition.detection import as_box
from captioning.tasks.recognition.object_detector import ObjectDetector
from captioning.tasks.scene_graphs.graph import Edge, SceneGraph

MOST = 20  # relations that are shown


class Grapher(ObjectDetector):
    """Encoder and scene graphs on one device; it detects as well.

    >>> print(captioning.load("runs/scene_graphs/model").graph("photo.jpg"))
    red circle left of blue star; blue star right of red circle
    """

    def graph(self, image: Any, *, least: float = LEAST, most: int = MOST) -> SceneGraph:
        """The things of a picture of at least that score, and the `most` likeliest relations of at least that score
        between them, one for each ordered pair.

        A relation's score is the probability that both things and the relation are right. Raises UserError naming the
        picture that cannot be read.
        """
        check_least(least)
        require_least(0, most=most)
        seen = self.read(image)
        if isinstance(seen, UserError):
            raise seen
        ((_, memory),) = self.memories([seen])
        with torch.inference_mode():
            (found,) = self.task.found_graphs(memory.float())
        return shown(found, least, most)


def shown(found: Mapping[str, Any], least: float, most: int) -> SceneGraph:
    """What of a predicted graph is sure enough."""
    boxes: list[Box] = [as_box(one) for one in found["objects"]]
    kept = [i for i, box in enumerate(boxes) if box.score >= least]
    place = {number: i for i, number in enumerate(kept)}
    edges: dict[tuple[int, int], Edge] = {}
    for s, predicate, o, score in found["relations"]:
        if s in place and o in place and score >= least:
            edges.setdefault((s, o), Edge(place[s], predicate, place[o], score))
    return SceneGraph(tuple(boxes[i] for i in kept), tuple(edges.values())[:most])
