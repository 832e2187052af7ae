"""Whether captions name the animal that a photo shows, and none that it does not: python tests/benchmarks/animals.py

Photos of 27 of Caltech-101's classes, which `$CAPTIONING_DATA/caltech101` holds; `MODEL=NAME` asks another captioner
than the shipped one. Any of the names of a class will do: an ibis may be a bird.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness import Figure, report

from captioning.media.finding import find_images
from captioning.tasks.load import load_captioner
from captioning.text.concepts import animals, concept_namer
from captioning.text.tokenizer import tokenize

CLASSES = {
    "Leopards": {"leopard"},
    "ant": {"bug"},
    "bass": {"fish"},
    "beaver": {"beaver"},
    "brontosaurus": {"dinosaur"},
    "butterfly": {"butterfly"},
    "crab": {"crab"},
    "crayfish": {"lobster"},
    "crocodile": {"alligator"},
    "crocodile_head": {"alligator"},
    "dalmatian": {"dog"},
    "dragonfly": {"dragonfly"},
    "elephant": {"elephant"},
    "emu": {"ostrich", "bird"},
    "flamingo": {"flamingo", "bird"},
    "flamingo_head": {"flamingo", "bird"},
    "hawksbill": {"turtle"},
    "ibis": {"bird", "stork", "heron"},
    "kangaroo": {"kangaroo"},
    "llama": {"llama"},
    "lobster": {"lobster"},
    "panda": {"bear"},
    "pigeon": {"bird"},
    "rooster": {"chicken", "bird"},
    "starfish": {"starfish"},
    "stegosaurus": {"dinosaur"},
    "wild_cat": {"cat", "leopard"},
}


def main() -> int:
    root = Path(os.environ.get("CAPTIONING_DATA", "data")) / "caltech101/101_ObjectCategories"
    if not root.is_dir():
        print(f"animals: left out, since {root} is not there (CAPTIONING_DATA says where data is)")
        return 0
    photos = [(photo, names) for name, names in CLASSES.items() for photo in find_images([root / name], False)]
    captions = load_captioner(os.environ.get("MODEL"), device="cpu").caption([photo for photo, _ in photos])
    find, known = concept_namer(), animals()
    named = [known & {name for mention in find(tokenize(c.text)) for name in mention.names} for c in captions]
    right, wrong = (
        100 * sum(bool(judged(found, names)) for found, (_, names) in zip(named, photos, strict=True)) / len(photos)
        for judged in (frozenset.intersection, frozenset.difference)
    )
    report(
        "animals",
        [
            Figure(f"animals named, of {len(photos)} photos", right, "%", 60, higher=True),
            Figure("another animal named", wrong, "%", 40),
        ],
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
