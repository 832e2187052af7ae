"""Any photo a person has, as 8-bit RGB pixels the right way up; or one sentence on what is wrong with it."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from captioning.errors import UserError
from captioning.files.regular import one_line, open_regular
from captioning.media.png_texts import SIGNATURE, without_texts

# Only pictures: Pillow also opens documents (EPS, PDF), for some of which it starts other programs.
FORMATS = ("PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
MAX_PIXELS = 180_000_000  # 0.7 GB as Pillow holds RGB
MAX_SCANS = 100  # of a JPEG, each of which is work on every pixel in as little as ten bytes; encoders make about ten

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF tag 0x0112 (orientation) -> what turns the picture upright


class ImageError(UserError):
    """A picture that cannot be read. The message is one line: the file, what is wrong with it, the remedy."""


def open_image(
    source: str | os.PathLike[str] | BinaryIO, *, size: int | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """The picture in a file, as a plain RGB image (H, W) with values 0 to 255. Safe to call from several threads.

    EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled (not clipped) to 8 bits, and
    of several frames the first is taken.

    Args:
        source: path, or an open binary file.
        size: a hint, in pixels, that no side needs more than this: a larger JPEG is decoded at 1/2, 1/4 or 1/8,
            several times faster, as long as both sides stay at least `size`.
        max_pixels: limit on the pixels decoded. A baseline JPEG above it is decoded at a fraction that fits;
            any other picture above it is an error.

    Raises:
        ImageError: the file is missing, forbidden, empty, a folder, no picture, damaged, cut short or too large.
    """
    with _opened(source) as (file, name):
        picture = _identified(file, name)
        _fit(picture, name, size, max_pixels)
        with _decoding(name):
            picture.load()
            return to_rgb(picture)


def check_image(
    source: str | os.PathLike[str] | BinaryIO, *, decode: bool = False, max_pixels: int = MAX_PIXELS
) -> None:
    """Raises ImageError where a picture cannot be opened.

    Reads the header only (well under a millisecond a photo). `decode=True` also finds a damaged or shortened body;
    it decodes a JPEG at 1/8 of its size.
    """
    with _opened(source) as (file, name):
        picture = _identified(file, name)
        _fit(picture, name, 1 if decode else None, max_pixels)
        if decode:
            with _decoding(name):
                picture.load()


def image_size(source: str | os.PathLike[str] | BinaryIO) -> tuple[int, int]:
    """Width and height of the upright picture. Reads the header only. Raises ImageError."""
    with _opened(source) as (file, name):
        picture = _identified(file, name)
        width, height = picture.size
        return (height, width) if _orientation(picture) in (5, 6, 7, 8) else (width, height)


def to_rgb(picture: Image.Image) -> Image.Image:
    """An image of any Pillow mode as a new plain RGB image: upright, on white, 8 bits a channel, no metadata."""
    orientation = _orientation(picture)
    if picture.mode.startswith(("I", "F")):
        rgb = _grey_to_8_bits(picture).convert("RGB")
    elif picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        rgb = Image.new("RGB", rgba.size, "white")
        rgb.paste(rgba, mask=rgba.getchannel("A"))
    else:
        rgb = picture.convert("RGB")
    if orientation in UPRIGHT:
        rgb = rgb.transpose(UPRIGHT[orientation])
    rgb.info = {}  # an orientation left here would be applied a second time by the next reader
    return rgb


@contextmanager
def _opened(source: str | os.PathLike[str] | BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    """(seekable binary file, its name in messages). A file that the caller opened stays open."""
    if not isinstance(source, (str, os.PathLike)):
        name = getattr(source, "name", None)
        name = name if isinstance(name, str) else "the picture"
        seekable = getattr(source, "seekable", None)
        yield (source if seekable and seekable() else io.BytesIO(source.read())), one_line(name)
        return
    with open_regular(source, "picture", ImageError) as file:
        yield file, one_line(os.fspath(source))


def _identified(file: BinaryIO, name: str) -> Image.Image:
    """The picture with its header read and its pixels not.

    `Image.open` is passed by: its limit on pixels is one setting for the whole process, and it strikes before a
    JPEG can be asked for a smaller size.
    """
    file.seek(0)
    prefix = file.read(16)
    if not prefix:
        raise ImageError(f"{name} is empty (0 bytes). Copy or download it again.")
    # Pillow's reader of GIF itself warns on standard error above Pillow's limit. No photo comes as such a GIF.
    if prefix.startswith(b"GIF8") and len(prefix) >= 10:
        width, height = struct.unpack("<HH", prefix[6:10])
        if Image.MAX_IMAGE_PIXELS and width * height > Image.MAX_IMAGE_PIXELS:
            raise ImageError(f"{name} has {width:,} x {height:,} pixels, too many for a GIF. Make it smaller.")
    if prefix.startswith(SIGNATURE):
        file = without_texts(file)
    if prefix[4:8] == b"ftyp" and prefix[8:11] in (b"hei", b"hev", b"mif", b"msf"):
        _read_heic(name)
    with _decoding(name):
        for factory in _factories(prefix):
            file.seek(0)
            try:
                picture = factory(file, "")
                if isinstance(picture, JpegImageFile):
                    _check_scans(file, name)
                return picture
            except (SyntaxError, IndexError, TypeError, KeyError, struct.error):
                continue  # what Pillow raises for "not mine after all"
    raise ImageError(f"{name} is not a picture, or its header is damaged. Name a JPEG, PNG, WebP, GIF, BMP or TIFF.")


def _read_heic(name: str) -> None:
    """Lets Pillow read HEIC, which takes another package. Raises ImageError where that is not installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageError(
            f"{name} is a HEIC photo: pip install 'captioning[heic]' to read it, or convert it to JPEG or PNG."
        ) from None
    register_heif_opener(thumbnails=False)


_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # neither a stuffed byte nor a restart


def _check_scans(file: BinaryIO, name: str) -> None:
    """Raises ImageError where a JPEG has more than MAX_SCANS scans. The file keeps its position.

    Of the usual photo only the header is read; one whose first scan has not all components is read whole.
    """
    position = file.tell()
    file.seek(0)
    data, at, components, several, scans = file.read(1 << 16), 2, 0, False, 0
    while marker := _MARKER.search(data, at):
        kind, body = marker[1][0], marker.end()
        if kind == 0xD9:
            break
        length = int.from_bytes(data[body : body + 2], "big")
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            components = data[body + 7] if len(data) > body + 7 else 0
            several = kind not in (0xC0, 0xC1, 0xC9)
        if kind == 0xDA:
            scans += 1
            if scans == 1 and not several and len(data) > body + 2 and data[body + 2] == components:
                break  # the decoder takes no second one
            if scans > MAX_SCANS:
                raise ImageError(f"{name} is a JPEG of more than {MAX_SCANS} scans, too much work. Save it again.")
        at = body if kind in (0x01, 0xD8) else body + max(length, 2)
        if at > len(data) or kind == 0xDA:
            data += file.read()
    file.seek(position)


def _factories(prefix: bytes) -> Iterator[Callable[[BinaryIO, str], Image.Image]]:
    """Pillow's readers of the formats that a file may have by its first bytes."""
    # Pillow's own reader of JPEG also looks for more pictures behind the first, as phones add them, and warns where
    # their index is malformed. The first is all that is wanted.
    if prefix.startswith(b"\xff\xd8\xff"):
        yield JpegImageFile
    for register in (Image.preinit, Image.init):  # the common formats first: the rest take longer to import
        register()
        for factory, accepts in [Image.OPEN[name] for name in FORMATS if name in Image.OPEN]:
            if accepts is None or accepts(prefix) is True:
                yield factory


def _fit(picture: Image.Image, name: str, size: int | None, max_pixels: int) -> None:
    """Has a JPEG decoded at a fraction where that is wanted or needed; raises ImageError where it is too large."""
    width, height = picture.size
    # A progressive JPEG is held whole in memory, at whatever fraction it is decoded.
    progressive = "progressive" in picture.info
    fraction = min(width, height) // size if size else 1
    if not progressive:
        fraction = max(fraction, next((r for r in (1, 2, 4, 8) if width * height <= max_pixels * r * r), 8))
    if fraction > 1:
        picture.draft(None, (max(width // fraction, 1), max(height // fraction, 1)))
    if (width * height if progressive else picture.width * picture.height) > max_pixels:
        raise ImageError(f"{name} has {width:,} x {height:,} pixels, more than {max_pixels:,} in all. Make it smaller.")


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Turns whatever Pillow's decoders raise into ImageError.

    A damaged file reaches them at arbitrary places, so they raise nearly anything: OSError, SyntaxError, ValueError,
    zlib.error, struct.error, OverflowError, MemoryError.
    """
    try:
        yield
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} has too many pixels. Make it smaller.") from error
    except ImageError:
        raise
    except Exception as error:
        reason = one_line(str(error)) or type(error).__name__
        raise ImageError(f"{name} is damaged or cut short ({reason}). Copy or download it again.") from error


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(0x0112, 1)
    except Exception:  # a damaged EXIF block says nothing about the pixels, and raises nearly anything
        return 1


def _grey_to_8_bits(picture: Image.Image) -> Image.Image:
    """Modes I;16, I and F (H, W) -> mode L.

    Integers within 0 to 65,535 are 16-bit samples: v / 257. Reals within 0 to 1 are fractions and within 0 to 255 are
    8-bit values. Any other range carries no scale of its own and is stretched from its least to its greatest value.
    """
    values = np.asarray(picture)
    if picture.mode == "F":
        values = np.nan_to_num(values)
    low, high = float(values.min()), float(values.max())
    if picture.mode.startswith("I") and 0 <= low and high <= 65535:
        scaled = (values.astype(np.uint32) + 128) // 257
    elif 0 <= low and high <= 255:
        scaled = np.rint(values * 255 if high <= 1 else values)
    else:
        scaled = np.rint((values.astype(np.float64) - low) * (255 / max(high - low, 1e-12)))
    grey = scaled.astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):  # a PNG may name one grey that stands for "see through"
        grey[values == transparent] = 255
    return Image.fromarray(grey)


def shrinking(shorter: float, size: int | None) -> float:
    """What the sides of a frame are multiplied by on its way to about `size` pixels, 1 where that is not worth it.

    Whoever asked resizes once more, to a square: frames that are less than a third too large are left to that.
    """
    factor = size / shorter if size else 1.0
    return factor if factor <= 0.75 else 1.0
