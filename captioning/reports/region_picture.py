"""Regions drawn on a photo: their boxes, what the detector calls them, and how sure it is or how long was looked."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from captioning.boxes import Box as LabelledBox

WIDTH = 960  # pixels of the longer side
INK = {True: (20, 20, 24), False: (255, 255, 255)}  # on a bright tag, and on a dark one
FAINT = (222, 222, 226)  # what the detector hardly believes in
GOLDEN = 0.618034  # of a turn between the hues of neighbouring classes, so that any few of them differ
CREDIBLE = 0.2  # score from which a region has a label

Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]


def region_picture(
    image: Image.Image,
    boxes: np.ndarray,
    labels: Sequence[str] | None = None,
    scores: np.ndarray | None = None,
    *,
    width: int = WIDTH,
    credible: float = CREDIBLE,
) -> Image.Image:
    """The photo with its regions, the likeliest on top. -> RGB, the longer side `width` pixels

    `boxes` (N, 4) are x1 y1 x2 y2 in [0, 1]; each of the N `labels` has a colour of its own. Regions whose score is
    below `credible` are thin lines without a label. Raises ValueError where the numbers do not match.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    scores = np.ones(len(boxes)) if scores is None else np.asarray(scores, np.float64)
    names = [""] * len(boxes) if labels is None else list(labels)
    if not len(boxes) == len(scores) == len(names):
        raise ValueError(f"{len(boxes)} boxes, but {len(names)} labels and {len(scores)} scores")
    scale = width / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    photo = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    draw, line = ImageDraw.Draw(photo), max(2, width // 240)
    colours = {name: class_colour(i) for i, name in enumerate(sorted(set(names)))}
    order = [int(i) for i in np.argsort(scores, kind="stable")]
    for i in order:
        sure = scores[i] >= credible
        outline(draw, corners(boxes[i], size), colours[names[i]] if sure else FAINT, line if sure else 1)
    taken: list[Box] = []
    for i in reversed(order):
        if names[i] and scores[i] >= credible:
            text = f"{names[i]} {scores[i]:.2f}" if scores[i] < 1 else names[i]
            taken += tag(draw, text, corners(boxes[i], size), colours[names[i]], size, max(11, width // 52), taken)
    return photo


def box_picture(image: Image.Image, boxes: Sequence[LabelledBox], *, width: int = WIDTH) -> Image.Image:
    """The photo with boxes, their labels and scores, however low these are. As `region_picture`."""
    places = np.array([box.corners for box in boxes], np.float32).reshape(-1, 4)
    labels, scores = [box.label for box in boxes], np.array([box.score for box in boxes])
    return region_picture(image, places, labels, scores, width=width, credible=0.0)


def class_colour(number: int) -> Colour:
    """A saturated colour for each number."""
    red, green, blue = colorsys.hsv_to_rgb((0.02 + number * GOLDEN) % 1, 0.82, 0.97)
    return round(255 * red), round(255 * green), round(255 * blue)


def corners(box: np.ndarray, size: tuple[int, int]) -> Box:
    """A box (4,) in [0, 1] in whole pixels of a picture of `size`, as far as it lies inside."""
    x1, y1, x2, y2 = np.nan_to_num(np.asarray(box, np.float64), posinf=1.0, neginf=0.0).clip(0, 1)
    right, bottom = size[0] - 1, size[1] - 1
    return (
        round(min(x1, x2) * right),
        round(min(y1, y2) * bottom),
        round(max(x1, x2) * right),
        round(max(y1, y2) * bottom),
    )


def outline(draw: ImageDraw.ImageDraw, box: Box, colour: Colour, line: int) -> None:
    """A frame inside the box, on a dark edge that keeps it apart from a photo of its own colour."""
    if line > 1:
        draw.rectangle(box, outline=(0, 0, 0), width=line + 1)
    draw.rectangle(box, outline=colour, width=line)


def tag(
    draw: ImageDraw.ImageDraw,
    text: str,
    box: Box,
    colour: Colour,
    size: tuple[int, int],
    letters: int,
    taken: Sequence[Box] = (),
) -> list[Box]:
    """Writes `text`, on a ground of `colour`, at the first corner of the box where it hides no other tag.

    -> [where it stands], or [] where there is no room.
    """
    font = ImageFont.load_default(letters)
    wide, high = round(font.getlength(text)) + letters // 2 + 2, round(letters * 1.35)
    x1, y1, x2, y2 = box
    outside = [(x1, y1 - high), (x1, y2)]
    places = [*outside, (x1, y1), (x2 - wide, y1), (x1, y2 - high), (x2 - wide, y2 - high)]
    for left, top in places:
        left = min(max(left, 0), size[0] - wide)
        place = (left, top, left + wide, top + high)
        inside = left >= 0 and top >= 0 and place[3] <= size[1]
        if inside and not any(_overlap(place, other) for other in taken):
            draw.rectangle(place, fill=colour)
            red, green, blue = colour
            bright = 0.299 * red + 0.587 * green + 0.114 * blue > 140
            draw.text((left + wide / 2, top + high / 2), text, fill=INK[bright], font=font, anchor="mm")
            return [place]
    return []


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
