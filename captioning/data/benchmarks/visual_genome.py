"""Visual Genome (Krishna et al. 2017, arXiv:1602.07332): objects, attributes and relations of 108,077 photos."""

from __future__ import annotations

import logging
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from captioning.boxes import Corners, as_corners
from captioning.data.graphs import GraphExample, GraphPhotos
from captioning.errors import UserError
from captioning.example import Example
from captioning.files.annotations import entries, read_json, read_lines

log = logging.getLogger("captioning")

REMEDY = "Unpack Visual Genome's files there, or set data.root."
SIDES = {"x": (int, float), "y": (int, float), "w": (int, float), "h": (int, float)}
FOLDERS = ("VG_100K", "VG_100K_2")


class VisualGenome(GraphPhotos):
    """`objects.json`, `relationships.json` and `attributes.json`, or `scene_graphs.json`, as they are published.

    Names are in lower case, as people typed them: a task takes the frequent ones. An object that a relation names by
    the number of another one it was merged into is that one; one that is in no list has the box that the relation
    gives. Boxes without an area in the photo are left out with their relations, which is said.

    Args:
        root: folder of these files and of the photos.
        file: scene_graphs.json to read that; None: objects.json and what lies beside it.
        photos: name of a photo from `root`, with {image_id}, or {coco_id} of image_data.json; None: VG_100K/ID.jpg or
            VG_100K_2/ID.jpg.
        lists: files train.txt, val.txt and test.txt with a photo's number a line, in this folder; None: all are train.
        on_missing: see `Photos`, and `Vrd` for sizes.
    """

    name = "visual genome"
    by_hand = "homes.cs.washington.edu/~ranjay/visualgenome has all files."

    def __init__(
        self,
        root: str | os.PathLike[str] = "data/visual_genome",
        *,
        file: str | None = None,
        photos: str | None = None,
        lists: str | None = None,
        on_missing: str = "error",
    ) -> None:
        super().__init__(root, on_missing=on_missing)
        self.file, self.photos, self.lists = file, photos, lists

    def annotations(self, split: str) -> Path:
        return self.root / (self.file or "objects.json")

    def remedy(self) -> str:
        return f"Unpack images.zip and images2.zip into {self.root}, or set data.photos"

    def read(self, split: str) -> list[Example]:
        chosen = self._chosen(split)
        about = self._about()
        examples: list[Example] = []
        lost = total = 0
        for image, things, relations, attributes in self._graphs():
            if chosen is not None and image not in chosen or chosen is None and split != "train":
                continue
            example, left_out = self._example(image, things, relations, attributes, about.get(image, {}))
            lost, total = lost + left_out, total + len(things)
            examples.append(example)
        if lost:
            log.warning(
                "%s: %s of %s boxes lie outside of their photo. Left out.", self.root, f"{lost:,}", f"{total:,}"
            )
        return examples

    def _graphs(self) -> Iterator[tuple[int, dict[int, dict], list[tuple[Any, str, Any]], dict[int, list]]]:
        """Of each photo: number, objects by number, (subject, predicate, object) by number, attributes by number."""
        path = self.annotations("train")
        document = {"images": read_json(path, REMEDY)}
        listed = entries(document, "images", {"image_id": int, "objects": list}, path)
        relations = {one["image_id"]: one["relationships"] for one in self._beside("relationships", path, listed)}
        attributes = {one["image_id"]: one["attributes"] for one in self._beside("attributes", path, listed)}
        for one in listed:
            image, where = one["image_id"], f"{path}: image {one['image_id']}"
            things: dict[int, dict] = {}
            same: dict[int, int] = {}
            inside = entries(one, "objects", {"object_id": int, **SIDES}, path, {"names": list})
            for thing in inside:
                things[thing["object_id"]] = thing
                same |= dict.fromkeys(thing.get("merged_object_ids") or (), thing["object_id"])
            edges = []
            for index, edge in enumerate(relations.get(image, one.get("relationships") or [])):
                ends = [_end(edge, side, things, same, f"{where}, relationships[{index}]") for side in ENDS]
                predicate = edge.get("predicate")
                if not isinstance(predicate, str):
                    raise UserError(f"{where}, relationships[{index}] has no predicate. {REMEDY}")
                edges.append((ends[0], " ".join(predicate.lower().split()), ends[1]))
            said = {
                thing.get("object_id"): thing.get("attributes") or []
                for thing in attributes.get(image, inside)
                if isinstance(thing, dict)
            }
            yield image, things, edges, said

    def _beside(self, name: str, path: Path, listed: list[dict]) -> list[dict[str, Any]]:
        """The photos of another file of the data set, [] where it is not there. A photo without a number, as some
        copies have them, is the one in the same place of `listed`."""
        other = self.root / f"{name}.json"
        if self.file or not other.is_file():
            return []
        document = read_json(other, REMEDY)
        if isinstance(document, list):
            for one, same in zip(document, listed, strict=False):
                if isinstance(one, dict):
                    one.setdefault("image_id", same["image_id"])
            document = [one for one in document if not isinstance(one, dict) or "image_id" in one]
        return entries({"images": document}, "images", {"image_id": int, name: list}, other)

    def _example(
        self, image: int, things: dict[int, dict], edges: list, attributes: dict[int, list], about: dict
    ) -> tuple[GraphExample, int]:
        file = self._photo(image, about)
        corners = {n: (t["x"], t["y"], t["x"] + t["w"], t["y"] + t["h"]) for n, t in things.items()}
        size = (about.get("width"), about.get("height"))
        if not all(type(side) in (int, float) for side in size):
            size = self.size(file, list(corners.values()))
        boxes: dict[int, Corners] = {}
        for number, values in corners.items():
            try:
                boxes[number] = as_corners(values, "xyxy", size, "")  # type: ignore[arg-type]
            except UserError:
                continue
        place = {number: i for i, number in enumerate(boxes)}
        labels = tuple(_name(things[number]) for number in boxes)
        kept = {(place[s], predicate, place[o]): None for s, predicate, o in edges if s in place and o in place}
        said = tuple(tuple(str(a).strip().lower() for a in attributes.get(number, ())) for number in boxes)
        said = said if any(said) else ()
        example = GraphExample(image, file, (), tuple(boxes.values()), labels, relations=tuple(kept), attributes=said)
        return example, len(things) - len(boxes)

    def _photo(self, image: int, about: dict) -> str:
        if self.photos:
            try:
                return posixpath.normpath(self.photos.format(image_id=image, coco_id=about.get("coco_id") or 0))
            except (KeyError, IndexError, ValueError):
                raise UserError(f"data.photos={self.photos}: it may hold {{image_id}} and {{coco_id}}") from None
        names = [posixpath.join(folder, f"{image}.jpg") for folder in FOLDERS]
        return next((name for name in names if (self.root / name).is_file()), names[0])

    def _about(self) -> dict[int, dict]:
        """Width, height and coco_id of photos by number, where image_data.json is there."""
        path = self.root / "image_data.json"
        if not path.is_file():
            return {}
        listed = entries({"images": read_json(path)}, "images", {"image_id": int}, path)
        return {one["image_id"]: one for one in listed}

    def _chosen(self, split: str) -> set[int] | None:
        if self.lists is None:
            return None
        path = Path(self.root, self.lists, f"{split}.txt")
        numbers = set()
        for line, text in read_lines(path, "Write a photo's number a line, or leave data.lists out."):
            if not text.strip().isdecimal():
                raise UserError(f"{path}, line {line}: {text.strip()[:40]!r} is no photo's number")
            numbers.add(int(text))
        return numbers


ENDS = ("subject", "object")


def _end(edge: Any, side: str, things: dict[int, dict], same: dict[int, int], where: str) -> int:
    """The number of the subject or object of a relation, which is put among `things` where it is in no list."""
    node = edge.get(side) if isinstance(edge, dict) else None
    number = (
        node.get("object_id") if isinstance(node, dict) else edge.get(f"{side}_id") if isinstance(edge, dict) else 0
    )
    number = number if number in things else same.get(number, number)
    if number not in things:
        if not isinstance(node, dict) or not all(type(node.get(s)) in (int, float) for s in SIDES) or not number:
            raise UserError(f"{where}: its {side} is not among the objects of the photo. {REMEDY}")
        things[number] = node
    return number


def _name(thing: dict) -> str:
    names = thing.get("names") or [thing.get("name") or ""]
    return " ".join(str(names[0]).lower().split())
