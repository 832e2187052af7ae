"""A scene graph drawn: the photo with its boxes, and beside it the relations as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from captioning.boxes import Box
from captioning.reports.region_picture import WIDTH, box_picture, class_colour

GROUND, TEXT = (252, 252, 250), (20, 20, 24)


def graph_picture(
    image: Image.Image,
    boxes: Sequence[Box],
    relations: Sequence[tuple[int, str, int, float]],
    *,
    width: int = WIDTH,
) -> Image.Image:
    """The photo with the boxes and an arrow for each relation, from subject to object; below it a line for each.

    relations: number of the subject among the boxes, predicate, number of the object, score. -> RGB
    """
    named = [Box(*box.corners, f"{i + 1} {box.label}", box.score) for i, box in enumerate(boxes)]
    photo = box_picture(image, named, width=width)
    draw, scale = ImageDraw.Draw(photo), max(photo.size)
    for row, (s, _, o, _) in enumerate(relations):
        start, end = (_inside(boxes[i].centre, photo.size) for i in (s, o))
        _arrow(draw, start, end, class_colour(row), max(2, scale // 320))
    letters = max(12, width // 46)
    font = ImageFont.load_default(letters)
    high = round(1.6 * letters)
    lines = [f"{named[s].label}  {p}  {named[o].label}   {score:.2f}" for s, p, o, score in relations]
    page = Image.new("RGB", (photo.width, photo.height + high * len(lines) + (letters if lines else 0)), GROUND)
    page.paste(photo, (0, 0))
    pen = ImageDraw.Draw(page)
    for row, line in enumerate(lines):
        top = photo.height + letters // 2 + row * high
        pen.rectangle((letters // 2, top + high // 4, letters, top + high * 3 // 4), fill=class_colour(row))
        pen.text((round(1.4 * letters), top + high / 2), _fitting(line, font, photo.width), TEXT, font, anchor="lm")
    return page


def _fitting(line: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, wide: int) -> str:
    """As much of a line as a narrow photo has room for."""
    while len(line) > 4 and font.getlength(line) > wide - 40:
        line = line[:-4].rstrip() + "..."
    return line


def _inside(point: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
    return point[0] * (size[0] - 1), point[1] * (size[1] - 1)


def _arrow(
    draw: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], colour: tuple, line: int
) -> None:
    """A line with a head that stops a little before its end; to the side, so that both ways of a pair are seen."""
    across, down = end[0] - start[0], end[1] - start[1]
    length = max((across**2 + down**2) ** 0.5, 1.0)
    x, y = across / length, down / length
    aside = 2.0 * line
    first = (start[0] - y * aside + x * 0.12 * length, start[1] + x * aside + y * 0.12 * length)
    last = (end[0] - y * aside - x * 0.12 * length, end[1] + x * aside - y * 0.12 * length)
    draw.line([first, last], fill=(0, 0, 0), width=line + 2)
    draw.line([first, last], fill=colour, width=line)
    head = 5 * line
    left = (last[0] - x * head - y * head / 2, last[1] - y * head + x * head / 2)
    right = (last[0] - x * head + y * head / 2, last[1] - y * head - x * head / 2)
    draw.polygon([last, left, right], fill=colour, outline=(0, 0, 0))
