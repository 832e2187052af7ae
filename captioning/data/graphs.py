"""Scene graphs: the things of a picture, and what they are to each other; what every source of them shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from captioning.data.file_source import Photos, split_name
from captioning.errors import UserError
from captioning.example import Example
from captioning.media.images import image_size

Relation = tuple[int, str, int]  # number of the subject among the boxes, predicate, number of the object


@dataclass(frozen=True, slots=True)
class GraphExample(Example):
    """A picture whose `boxes` and `labels` are the nodes of a graph, `relations` its edges.

    `attributes` are those of each box ("red", "wooden"), where the source knows any: as many as there are boxes, or ().
    """

    relations: tuple[Relation, ...] = ()
    attributes: tuple[tuple[str, ...], ...] = ()


def triples(example: Example) -> list[tuple[str, str, str]]:
    """The relations of a picture by the names of things: [("man", "rides", "horse")]."""
    labels = example.labels
    return [(labels[s], predicate, labels[o]) for s, predicate, o in getattr(example, "relations", ())]


def vocabulary(words: Iterable[str], *, min_count: int = 1, most: int | None = None) -> tuple[str, ...]:
    """The frequent ones of labels or predicates, most frequent first, of equals in the order of the alphabet."""
    counts = Counter(words)
    ranked = sorted((word for word, count in counts.items() if count >= min_count), key=lambda w: (-counts[w], w))
    return tuple(ranked[:most])


class GraphPhotos(Photos):
    """Photos on disk with graphs. A subclass reads one layout, as it does of `Photos`; captions are not asked for."""

    things = "graphs"
    metrics: tuple[str, ...] = ("predcls", "sgcls", "sgdet")

    def examples(self, split: str) -> list[Example]:
        """All pictures of a split that have an annotated thing, in the order of its file.

        Raises:
            UserError: the split is unknown or empty, a file is not what the layout says, or, unless
                `on_missing="skip"`, a photo is missing.
        """
        known = split_name(str(split))
        if known not in self.splits:
            raise UserError(f"{self.name} has no split {split!r}. Its splits are {', '.join(self.splits)}.")
        if known not in self._examples:
            where = self.annotations(known)
            listed: Sequence[Example] = [example for example in self.read(known) if example.boxes]
            examples = self.checks.present(self.root, list(listed), known, self.remedy())
            if not examples:
                raise UserError(f"{where}: split {known} has no photo with a graph. Choose another split or file.")
            self._examples[known] = examples
        return list(self._examples[known])

    def size(self, file: str, boxes: Sequence[Sequence[float]]) -> tuple[float, float]:
        """Width and height in pixels of a photo whose file of sizes is silent: the photo's own, or where that is not
        there either (`on_missing=ignore`) the far corner of its `boxes` (x1, y1, x2, y2)."""
        path = self.root / file
        if path.is_file():
            return image_size(path)
        return max((box[2] for box in boxes), default=1.0), max((box[3] for box in boxes), default=1.0)
