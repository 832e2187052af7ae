"""What an encoder of graphs takes over of the model that finds them, or of the names in the training pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from captioning.data.graphs import triples, vocabulary
from captioning.encoders.base import Encoder, architecture
from captioning.encoders.graph_finders import REMEDY, FoundGraphs, TrueGraphs
from captioning.encoders.graphs import GraphEncoder
from captioning.errors import UserError
from captioning.example import Example
from captioning.heads.detection import SetDetection
from captioning.heads.relations import RelationHead
from captioning.models.bundle import Bundle, target
from captioning.tasks.load import find_bundle
from captioning.tasks.scene_graphs.task import SceneGraphs
from captioning.training.adopted_parts import require_trusted, without_weights


def with_graphs(encoder: DictConfig, examples: Sequence[Example]) -> tuple[DictConfig, Bundle | None]:
    """An encoder's configuration with what its graphs are made of, and the model whose weights it takes over.

    Any other encoder stays as it is. Raises UserError for a model that finds no graphs, or pictures without any.
    """
    graphs = encoder.get("graphs") if encoder.get("_target_") == target(GraphEncoder) else None
    if graphs is None:
        return encoder, None
    if graphs.get("_target_") == target(TrueGraphs):
        found = {"labels": (label for one in examples for label in one.labels),
                 "predicates": (p for one in examples for _, p, _ in triples(one))}  # fmt: skip
        own = {name: list(graphs.get(name) or vocabulary(words)) for name, words in found.items()}
        if not own["labels"] or not own["predicates"]:
            raise UserError("no training picture has a relation: take a source with graphs, such as data=scene_graphs")
        return OmegaConf.merge(encoder, {"graphs": own}), None
    if graphs.get("_target_") != target(FoundGraphs) or graphs.get("encoder"):
        return encoder, None
    if not graphs.get("model"):
        raise UserError(f"encoder=graph finds graphs by another model: {REMEDY}")
    bundle = find_bundle(graphs.model)
    if not isinstance(bundle.task, SceneGraphs):
        raise UserError(f"encoder.graphs.model={graphs.model} finds no graphs: {REMEDY}")
    inside = without_weights(architecture(bundle.encoder_config))
    require_trusted(inside, f"encoder.graphs.model={graphs.model}")
    own = {name: value for name, value in graphs.items() if name != "model"}
    own |= {
        "encoder": inside,
        "detector": options(bundle.task.parts["detector"], SetDetection),
        "relations": options(bundle.task.parts["relations"], RelationHead),
        "labels": list(bundle.task.labels),
        "predicates": list(bundle.task.predicates),
    }
    return OmegaConf.create({**encoder, "graphs": own}), bundle


def options(part: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """The keywords of a part of a model. Raises UserError where it is a class of somebody's own."""
    if part.get("_target_") != target(kind):
        raise UserError(f"{part.get('_target_')} is a part of the model of graphs; an encoder of graphs knows {kind}")
    return {name: value for name, value in part.items() if name != "_target_"}


def fill_graphs(encoder: Encoder, bundle: Bundle | None) -> None:
    """Puts the weights of the model that finds graphs into an encoder that was built as `with_graphs` says."""
    if bundle is None:
        return
    finder = encoder.graphs
    finder.encoder.load_state_dict(bundle.encoder.state_dict())
    finder.detector.load_state_dict(bundle.task.detector.state_dict())
    finder.relations.load_state_dict(bundle.task.relations.state_dict())
