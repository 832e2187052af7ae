"""Reference captions in the files that benchmarks come in, told apart by their content."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from captioning.errors import UserError
from captioning.files.annotations import entries, parse_json, read_text
from captioning.media.kinds import plain_id

ImageId = int | str
ID_FIELDS = ("image_id", "id", "video_id", "file", "filename", "file_name", "image")
_CAPTION_FIELDS = ("captions", "references", "caption")


@dataclass
class References:
    """The captions of each image, in the order of the file, and the other names under which an image is known."""

    captions: dict[ImageId, list[str]]
    names: dict[str, ImageId] = field(default_factory=dict)
    splits: dict[ImageId, str] = field(default_factory=dict)
    plain: dict[str, ImageId] = field(init=False, repr=False)  # by `plain_id`, where that names one image alone

    def __post_init__(self) -> None:
        self.names |= {str(image): image for image in self.captions}
        plain = Counter(map(plain_id, self.captions))
        self.plain = {plain_id(image): image for image in self.captions if plain[plain_id(image)] == 1}

    def image(self, name: ImageId) -> ImageId:
        """The id of the image that a prediction names by its id, in any type, or by its file; else the name itself.

        COCO's ways count as one: 42, "42", "000000000042" and "COCO_val2014_000000000042.jpg".
        """
        if name in self.captions:
            return name
        file = os.path.basename(str(name))
        for names, key in ((self.names, str(name)), (self.names, file), (self.plain, plain_id(file))):
            if key in names:
                return names[key]
        return name

    def of_split(self, split: str | None, predicted: Iterable[ImageId], path: Path) -> dict[ImageId, list[str]]:
        """The captions of one split; with None, of the split that the predictions are of. Raises UserError."""
        if not self.splits:
            if split is not None:
                raise UserError(f"{path} has no splits: leave out --split.")
            return self.captions
        known = sorted(set(self.splits.values()))
        if split is None:
            found = sorted({self.splits[image] for image in map(self.image, predicted) if image in self.splits})
            if len(found) != 1:
                held = f"holds images of {', '.join(found)}" if found else "names no image of this file"
                raise UserError(f"{path} has the splits {', '.join(known)} and the result {held}: choose with --split.")
            split = found[0]
        if split not in known:
            raise UserError(f"{path} has no split {split!r}, only {', '.join(known)}.")
        return {image: captions for image, captions in self.captions.items() if self.splits[image] == split}


def read_references(path: Path) -> References:
    """Read COCO or Karpathy JSON, one JSON object {id: captions}, JSON lines, or Flickr8k's text.

    Raises UserError naming the file and the place.
    """
    text = read_text(path)
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        references = _flickr8k(text, path)
    elif start == "{" and _is_json_lines(text):
        references = _json_lines(text, path)
    else:
        document = parse_json(text, path)
        karpathy = isinstance(document, dict) and "annotations" not in document and "images" in document
        if is_plain(document):
            references = References({image: captions_of(said, path, image) for image, said in document.items()})
        else:
            references = _karpathy(document, path) if karpathy else _coco(document, path)
    if not references.captions:
        raise UserError(f"{path} holds no reference captions. Check that it is the right file.")
    return references


def _is_json_lines(text: str) -> bool:
    first = text.lstrip().partition("\n")[0]
    try:
        entry = json.loads(first)
    except ValueError:
        return False
    return isinstance(entry, dict) and not {"annotations", "images"} & entry.keys() and not is_plain(entry)


def is_plain(document: Any) -> bool:
    """Whether JSON is one object of captions by image: no field of any other layout is among its keys."""
    other = {"annotations", "images", "results", *ID_FIELDS, *_CAPTION_FIELDS}
    return isinstance(document, dict) and bool(document) and not other & document.keys()


def captions_of(value: Any, path: Path, image: ImageId) -> list[str]:
    """What a plain object says of an image: a text, or a list of texts or of objects with a `caption`.

    Raises UserError for anything else.
    """
    listed = value if isinstance(value, list) else [value]
    texts = [one.get("caption") if isinstance(one, dict) else one for one in listed]
    captions = [text for text in texts if isinstance(text, str)]
    if not texts or len(captions) < len(texts):
        raise UserError(f"{path}: {image} should have a text or a list of texts, found {json.dumps(value)[:60]}.")
    return captions


def _coco(document: Any, path: Path) -> References:
    listed = entries(document, "annotations", {"image_id": (int, str), "caption": str}, path, {"id": (int, str)})
    no_duplicates((one["id"] for one in listed if one.get("id") is not None), "caption id", path)
    images = document.get("images") or []
    if images:
        images = entries(document, "images", {"id": (int, str)}, path, {"file_name": str})
        no_duplicates((image["id"] for image in images), "image id", path)
    captions: dict[ImageId, list[str]] = {image["id"]: [] for image in images}
    for one in listed:
        captions.setdefault(one["image_id"], []).append(one["caption"])
    names = {os.path.basename(image["file_name"]): image["id"] for image in images if image.get("file_name")}
    return References({image: those for image, those in captions.items() if those}, names)


def _karpathy(document: Any, path: Path) -> References:
    fields = {"filename": str, "split": str, "sentences": list}
    listed = entries(document, "images", fields, path, {"cocoid": (int, str)})
    identify = [entry["filename"] if entry.get("cocoid") is None else number_of(entry["cocoid"]) for entry in listed]
    no_duplicates(identify, "image", path)
    captions = {
        image: [sentence["raw"] for sentence in entries(entry, "sentences", {"raw": str}, path)]
        for image, entry in zip(identify, listed, strict=True)
    }
    splits = ("train" if entry["split"] == "restval" else entry["split"] for entry in listed)
    names = {entry["filename"]: image for image, entry in zip(identify, listed, strict=True)}
    return References(
        {image: those for image, those in captions.items() if those}, names, dict(zip(identify, splits, strict=True))
    )


def number_of(text: int | str) -> int | str:
    """COCO's number of a photo, which some files have as text."""
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else text


def read_json_lines(text: str, path: Path) -> Iterable[tuple[str, ImageId, Mapping[str, Any]]]:
    """(place, image id, entry) of each line. Raises UserError naming the line."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        entry = parse_json(line, place)
        if not isinstance(entry, dict):
            raise UserError(f"{place} is not a JSON object.")
        yield place, image_of(entry, place), entry


def image_of(entry: Mapping[str, Any], place: str) -> ImageId:
    """The image that an entry is about. Raises UserError."""
    named = next((name for name in ID_FIELDS if name in entry), None)
    if named is None:
        raise UserError(f"{place} names no image. Give it one of the fields {', '.join(ID_FIELDS)}.")
    image = entry[named]
    if isinstance(image, bool) or not isinstance(image, (int, str)):
        raise UserError(f"{place}: {named} should be a number or a text, found {json.dumps(image)}.")
    return image


def _json_lines(text: str, path: Path) -> References:
    captions: dict[ImageId, list[str]] = {}
    for place, image, entry in read_json_lines(text, path):
        named = next((name for name in _CAPTION_FIELDS if name in entry), None)
        if named is None:
            raise UserError(f"{place} has no caption. Give it one of the fields {', '.join(_CAPTION_FIELDS)}.")
        found = entry[named] if isinstance(entry[named], list) else [entry[named]]
        if not found or not all(isinstance(caption, str) for caption in found):
            raise UserError(f"{place}: {named} should be a text or a list of texts.")
        captions.setdefault(image, []).extend(found)
    return References(captions)


def _flickr8k(text: str, path: Path) -> References:
    captions: dict[ImageId, list[str]] = {}
    keys = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        key, tab, caption = line.rstrip("\r").partition("\t")
        image, mark, _ = key.rpartition("#")
        if not tab or not mark:
            raise UserError(f"{path}, line {number} is not an image name, #, a number, a tab and a caption.")
        keys.append(key)
        captions.setdefault(image, []).append(caption)
    no_duplicates(keys, "caption", path)
    return References(captions)


def no_duplicates(names: Iterable[ImageId], what: str, path: Path) -> None:
    """Raises UserError naming the first that occurs twice, and how many do."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        count = f"{len(twice):,} {what}s occur" if len(twice) > 1 else f"1 {what} occurs"
        raise UserError(f"{path}: {count} more than once, the first is {twice[0]}. Keep one of each.")
