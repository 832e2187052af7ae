"""A scene graph of one picture, as people and programs read it: text, JSON, DOT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from captioning.boxes import Box


@dataclass(frozen=True)
class Edge:
    """What one thing is to another, by their numbers, and how sure that is."""

    subject: int
    predicate: str
    object: int
    score: float


@dataclass(frozen=True)
class SceneGraph:
    """The things of a picture and what they are to each other, both likeliest first.

    Prints as "red circle left of blue star; ...", or the things alone where nothing is related.
    """

    objects: tuple[Box, ...]
    relations: tuple[Edge, ...]

    def names(self) -> list[str]:
        """Its things by name, numbered where several have the same: ["dog 1", "dog 2", "ball"]."""
        labels = [box.label for box in self.objects]
        return [
            f"{label} {labels[: i + 1].count(label)}" if labels.count(label) > 1 else label
            for i, label in enumerate(labels)
        ]

    def triples(self) -> list[tuple[str, str, str]]:
        """Its relations by the names of things: [("dog 1", "on", "grass")]."""
        names = self.names()
        return [(names[edge.subject], edge.predicate, names[edge.object]) for edge in self.relations]

    def to_dict(self, size: tuple[int, int] | None = None) -> dict[str, Any]:
        """As JSON has it; boxes in [0, 1], or in pixels of a picture of `size`. A relation names places in objects."""
        relations = [
            {"subject": e.subject, "predicate": e.predicate, "object": e.object, "score": round(e.score, 4)}
            for e in self.relations
        ]
        return {"objects": [box.to_dict(size) for box in self.objects], "relations": relations}

    def to_dot(self) -> str:
        """As Graphviz draws it."""
        lines = [f"  n{i} [label={quoted(name)}];" for i, name in enumerate(self.names())]
        lines += [f"  n{e.subject} -> n{e.object} [label={quoted(e.predicate)}];" for e in self.relations]
        return "\n".join(["digraph scene {", "  node [shape=box, style=rounded];", *lines, "}", ""])

    def __str__(self) -> str:
        return "; ".join(" ".join(triple) for triple in self.triples()) or ", ".join(self.names()) or "nothing"


def quoted(text: str) -> str:
    """A name in DOT's quotes, in which only quotes and backslashes mean something; a line's end is a blank."""
    clean = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{clean}"'
