"""Pictures to save and compare."""

import numpy as np
from PIL import Image


def photo(width=48, height=32) -> Image.Image:
    """A smooth picture that JPEG keeps, different in every corner."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([255 * x / width, 255 * y / height, 128 + 0 * x], -1)
    return Image.fromarray(pixels.astype(np.uint8))


def difference(a: Image.Image, b: Image.Image) -> float:
    assert a.size == b.size
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).mean())


def saved(path, image, **options):
    image.save(path, **options)
    return path
