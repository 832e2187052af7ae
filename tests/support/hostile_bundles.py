"""Configurations of models that ask for what no model needs: other files, the network, numbers without measure."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

ENCODERS, DECODERS = "captioning.encoders", "captioning.decoders"
SHIPPED = {"_target_": f"{ENCODERS}.grid.GridEncoder", "backbone": "resnet18"}  # whose weights would be asked for
OPENERS = (
    {"_target_": f"{ENCODERS}.detectors.yolox.Yolox", "file": "SECRET"},
    {"_target_": f"{ENCODERS}.detectors.yolox.Yolox", "file": "/dev/zero"},
    {"_target_": f"{ENCODERS}.detectors.faster_rcnn.FasterRCNN", "weights": "SECRET"},
    {"_target_": f"{ENCODERS}.nouns.ImageNetNouns", "weights": "SECRET"},
    {"_target_": f"{ENCODERS}.regions.Maps", "backbone": "resnet18", "weights": "SECRET"},
    {"_target_": f"{ENCODERS}.regions.Maps", "backbone": "resnet18"},
    {"_target_": f"{ENCODERS}.motion.MotionEncoder"},
    {"_target_": f"{ENCODERS}.grid.GridEncoder", "backbone": "hf-hub:someone/something"},
    {"_target_": f"{ENCODERS}.grid.GridEncoder", "backbone": "local-dir:SECRET"},
    {**SHIPPED, "weights": "SECRET"},
    SHIPPED,
)
NUMBERS = (10**6 + 1, 10**9, 2**63, 10**30, -(10**9), float("inf"), float("nan"))
TEXTS = ("\x1b[2J", "a\nb", "a\tb", "\x9b31m", "\u2028", "\u202eabc", "x" * 20_000)


def invented_configs(config: dict[str, Any], secret: str, count: int, seed: int = 0) -> Iterator[tuple[str, dict]]:
    """(what was done, a configuration) `count` times: a part, number or text put somewhere into a sound one."""
    dice = random.Random(seed)
    for _ in range(count):
        changed = copy.deepcopy(config)
        places = list(_places(changed))
        where, key = dice.choice(places)
        kind = dice.choice(("part", "part", "number", "text", "deep", "list"))
        if kind == "part":
            value: Any = {k: v.replace("SECRET", secret) for k, v in dice.choice(OPENERS).items()}
            for _ in range(dice.randrange(3)):
                value = dice.choice(
                    (
                        [value],
                        {"inner": value},
                        {"_target_": f"{DECODERS}.retrieval.RetrievalDecoder", "decoder": value},
                        {"_target_": f"{ENCODERS}.side_by_side.SideBySide", "encoders": [value, value]},
                        {"_target_": f"{ENCODERS}.frames.FrameEncoder", "image": value},
                        {"_target_": f"{ENCODERS}.regions.RegionEncoder", "detector": value},
                    )
                )
        else:
            value = {
                "number": dice.choice(NUMBERS),
                "text": dice.choice(TEXTS),
                "deep": _deep(200),
                "list": [0] * 200_000,
            }[kind]
        new = dice.choice((key, "extra", "constraints", "detector", "longest", "max_words", "beam_size"))
        if isinstance(where, list):
            where[key] = value
        else:
            where[new] = value
        yield f"{kind} at {new}", changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from _places(inner)


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value
