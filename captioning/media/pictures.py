"""Whatever people hold a picture in, as an RGB image."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO, TypeAlias, Union

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from captioning.errors import UserError
from captioning.files.web import SCHEMES, fetched
from captioning.media.clip import Clip
from captioning.media.encoded import EncodedPicture
from captioning.media.images import open_image, to_rgb

# Two threads may come with one lazy PIL image, or one open file, which is read by moving a position in it.
_ONE_AT_A_TIME = threading.Lock()

OnePicture: TypeAlias = Union[str, "os.PathLike[str]", BinaryIO, Image.Image, np.ndarray, Tensor, Clip]
SeveralPictures: TypeAlias = list[Any] | tuple[Any, ...] | Iterator[Any]
Picture: TypeAlias = Any  # a path, an open binary file, a PIL image, a NumPy array, a tensor or an `EncodedPicture`


def as_picture(image: Picture, size: int | None = None) -> Image.Image:
    """Whatever stands for a picture, as an RGB PIL image. `size` lets a file be decoded no larger than needed.

    A text that begins with http:// or https:// is the address of a photo, which is fetched (`captioning.files.web` has
    the limits of bytes and time). Arrays are (H, W), (H, W, 3) or (H, W, 4), tensors (H, W), (1, H, W), (3, H, W) or
    (4, H, W) as torchvision has them; values are uint8, or real numbers from 0 to 1. Raises UserError saying what is
    wrong with anything else.
    """
    if isinstance(image, str) and is_address(image):
        file = io.BytesIO(fetched(image))
        file.name = image
        return open_image(file, size=size)
    if isinstance(image, (str, os.PathLike)):
        return open_image(image, size=size)
    if isinstance(image, EncodedPicture):
        file = io.BytesIO(image.bytes())
        file.name = image.name
        return open_image(file, size=size)
    if hasattr(image, "read"):
        with _ONE_AT_A_TIME:
            return open_image(image, size=size)
    if isinstance(image, Tensor):
        image = _array(image)
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if not isinstance(image, Image.Image):
        raise UserError(
            f"a picture is a path, an open file, a PIL image, a NumPy array or a tensor, not {type(image).__name__}"
        )
    if 0 in image.size:
        raise UserError("a picture has at least one pixel, this one has none")
    try:
        with _ONE_AT_A_TIME:
            return to_rgb(image)
    except Exception as error:  # a PIL image is decoded only now, and raises nearly anything where its file is damaged
        name = getattr(image, "filename", "") or "the picture"
        raise UserError(f"{name} is damaged or cut short ({error}). Copy or download it again.") from error


def is_address(text: str) -> bool:
    """Whether a text is an address of the web, rather than a path."""
    return text.lower().startswith(tuple(f"{scheme}://" for scheme in SCHEMES))


def as_several(images: Any) -> tuple[Iterable[Any], bool]:
    """What stands for one picture or several -> an iterable of pictures, and whether it was one.

    Several are a list, a tuple, an iterator, a tensor (B, 3, H, W) or an array (B, H, W, 3).
    """
    if isinstance(images, (Tensor, np.ndarray)) and images.ndim == 4:
        return list(images), False
    if isinstance(images, (list, tuple, Iterator)) and not hasattr(images, "read"):
        return images, False
    return [images], True


def _array(tensor: Tensor) -> np.ndarray:
    """Channels first -> channels last."""
    shape = tuple(tensor.shape)
    if tensor.dim() not in (2, 3) or (tensor.dim() == 3 and shape[0] not in (1, 3, 4)):
        raise UserError(
            f"a tensor must be (H, W), (1, H, W), (3, H, W) or (4, H, W), not {shape}{_remedy(tensor.dim())}"
        )
    if tensor.is_floating_point():
        tensor = tensor.to(torch.float32)  # NumPy has no bfloat16
    array = tensor.detach().cpu().numpy()
    return array if array.ndim == 2 else array[0] if shape[0] == 1 else array.transpose(1, 2, 0)


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise UserError(f"an array must be (H, W), (H, W, 3) or (H, W, 4), not {array.shape}{_remedy(array.ndim)}")
    if not array.size:
        return Image.new("RGB", (0, 0))
    if np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):  # also where a value is not a number
            raise UserError("the values of a picture are from 0 to 1, or uint8 from 0 to 255: scale or convert them")
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.dtype != np.uint8:
        raise UserError(f"the values of a picture are uint8, or real numbers from 0 to 1, not {array.dtype}")
    return Image.fromarray(np.ascontiguousarray(array))


def _remedy(dimensions: int) -> str:
    return ". Several of them go together where pictures are asked for" if dimensions == 4 else ""
