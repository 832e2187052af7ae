"""Where a model looked, drawn over the picture: one map for each word, on a grid of cells or on boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from captioning.reports.region_picture import corners, outline, tag

# Red, green, blue and opacity of the layer by weight, in [0, 1]. What was not looked at is darkened, so that the
# map reads the same on a bright and on a dark picture.
RAMP_AT = (0.0, 0.4, 1.0)
RAMP = np.array([(0.03, 0.05, 0.16, 0.66), (0.75, 0.16, 0.42, 0.50), (1.00, 0.80, 0.20, 0.42)])
MARGIN = 8  # pixels round a panel
# A region has edges, which the frame shows: what it holds is left nearly as it is.
REGION_RAMP = np.array([(0.03, 0.05, 0.16, 0.74), (0.55, 0.14, 0.40, 0.52), (1.00, 0.80, 0.20, 0.06)])
# The frames of the heaviest regions by weight, as a share of the greatest; below FAINT there is none.
FRAMES = np.array([(150, 70, 170), (235, 80, 90), (255, 215, 60)])
FAINT, FRAMED = 0.3, 3
LABEL_SIZES = (20, 17, 14)  # pixels; a long word gets smaller letters, then an ellipsis


def heat_map(
    weights: np.ndarray,
    size: tuple[int, int],
    *,
    grid: tuple[int, int] | None = None,
    boxes: np.ndarray | None = None,
) -> np.ndarray:
    """How much each pixel was looked at, 1 where most. -> (height, width) float32 in [0, 1].

    `weights` (N,) belong to the cells of a `grid` (rows, columns), from left to right and from top to bottom, or to
    `boxes` (N, 4), x1 y1 x2 y2 in [0, 1]. Without either the grid is taken to be square, behind the class token of a
    vision Transformer, or DeiT's two, where there are such. `size` is (width, height).
    Boxes may overlap: a pixel counts with the heaviest that covers it. Weights that are not finite count as 0.
    Raises ValueError where the number of weights does not match.
    """
    weights = np.nan_to_num(np.asarray(weights, np.float32), nan=0.0, posinf=0.0, neginf=0.0).clip(0)
    if boxes is None and grid is None:
        weights = weights[class_tokens(len(weights)) :]
    weights = weights / max(float(weights.max(initial=0)), np.finfo(np.float32).tiny)
    if boxes is not None:
        return _heat_of_boxes(weights, np.asarray(boxes, np.float32), size)
    rows, columns = grid or (math.isqrt(len(weights)),) * 2
    if rows * columns != len(weights) or not len(weights):
        raise ValueError(f"{len(weights)} weights do not fill a grid of {rows} x {columns}: give grid=(rows, columns)")
    cells = Image.fromarray(weights.reshape(rows, columns))
    return np.asarray(cells.resize(size, Image.Resampling.BILINEAR)).clip(0, 1)


def class_tokens(count: int) -> int:
    """How many of so many tokens stand before those of a square grid: none, a class token, or DeiT's two."""
    possible = [more for more, least in ((0, 1), (1, 2), (2, 6)) if count >= least]
    return next((more for more in possible if math.isqrt(count - more) ** 2 == count - more), 0)


def heat_layer(heat: np.ndarray, ramp: np.ndarray = RAMP) -> Image.Image:
    """A see-through RGBA picture to lay over the photo. heat (H, W) in [0, 1]."""
    channels = [np.interp(heat, RAMP_AT, ramp[:, i]) for i in range(4)]
    return Image.fromarray((np.stack(channels, -1) * 255).round().astype(np.uint8))


def attention_strip(
    image: Image.Image,
    words: Sequence[str],
    attention: np.ndarray,
    boxes: np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    *,
    grid: tuple[int, int] | None = None,
    panel: int = 192,
    columns: int = 6,
) -> Image.Image:
    """The picture once for each word, with what the model looked at and the word below. -> RGB

    `attention` (T, N) has a row for each of the T `words`; `boxes` and `grid` are as in `heat_map`. Regions are framed
    in the colour of their weight, and the heaviest bears its label, if the N regions have `labels`. The longer side of
    a panel has `panel` pixels; a row of the strip has at most `columns` panels. An empty caption gives the picture
    alone. Raises ValueError where words and attention, or boxes and labels, do not match.
    """
    attention = np.asarray(attention)
    if len(attention) != len(words):
        raise ValueError(f"{len(words)} words, but attention for {len(attention)}")
    if labels is not None and (boxes is None or len(labels) != len(boxes)):
        raise ValueError(f"{len(labels)} labels, but {0 if boxes is None else len(boxes)} boxes")
    scale = panel / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    photo = image.convert("RGB").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    if not len(words):
        return photo.convert("RGB")
    columns = min(columns, len(words))
    step_x, step_y = panel + MARGIN, size[1] + 2 * MARGIN + LABEL_SIZES[0]
    rows = -(-len(words) // columns)
    strip = Image.new("RGB", (columns * step_x + MARGIN, rows * step_y + MARGIN), "white")
    draw = ImageDraw.Draw(strip)
    for i, (word, weights) in enumerate(zip(words, attention, strict=True)):
        x, y = MARGIN + (i % columns) * step_x, MARGIN + (i // columns) * step_y
        layer = heat_layer(heat_map(weights, size, grid=grid, boxes=boxes), RAMP if boxes is None else REGION_RAMP)
        seen = Image.alpha_composite(photo, layer).convert("RGB")
        if boxes is not None:
            frame(seen, weights, boxes, labels)
        strip.paste(seen, (x + (panel - size[0]) // 2, y))
        text, font = _label(word, panel)
        draw.text((x + panel / 2, y + size[1] + LABEL_SIZES[0] / 2 + 4), text, fill="black", font=font, anchor="mm")
    return strip


def frame(panel: Image.Image, weights: np.ndarray, boxes: np.ndarray, labels: Sequence[str] | None = None) -> None:
    """Frames the regions that were looked at most on a panel, the heaviest on top and with its label."""
    weights = np.nan_to_num(np.asarray(weights, np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(0)
    order, most = np.argsort(weights, kind="stable")[-FRAMED:], weights.max(initial=0)
    if not most > 0:
        return
    draw, line = ImageDraw.Draw(panel), max(2, max(panel.size) // 96)
    for i in order[weights[order] >= FAINT * most]:
        share = weights[i] / most
        red, green, blue = (round(float(np.interp(share, (FAINT, 0.65, 1), FRAMES[:, c]))) for c in range(3))
        heaviest = i == order[-1]
        outline(draw, corners(boxes[i], panel.size), (red, green, blue), line if heaviest else max(1, line // 2))
        if heaviest and labels is not None:
            letters = max(10, max(panel.size) // 16)
            tag(draw, labels[i], corners(boxes[i], panel.size), (red, green, blue), panel.size, letters)


def _heat_of_boxes(weights: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if boxes.shape != (len(weights), 4):
        raise ValueError(f"{len(weights)} weights, but boxes of shape {boxes.shape}")
    width, height = size
    heat = np.zeros((height, width), np.float32)
    corners = np.nan_to_num(boxes).clip(0, 1) * np.array([width, height, width, height], np.float32)
    for weight, (x1, y1, x2, y2) in zip(weights, corners.round().astype(int), strict=True):
        area = heat[y1:y2, x1:x2]
        np.maximum(area, weight, out=area)
    return heat


def _label(word: str, width: int) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """The word and a font in which it fits, shortened where it fits in none."""
    for pixels in LABEL_SIZES:
        font = ImageFont.load_default(pixels)
        if font.getlength(word) <= width:
            return word, font
    while word and font.getlength(word + "...") > width:
        word = word[:-1]
    return word + "...", font
