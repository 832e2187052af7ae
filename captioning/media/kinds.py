"""Photo or clip: by the first bytes of a file, whatever it is called, and by its name where those say nothing."""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterable

IMAGE_EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
    ".pnm", ".jp2", ".j2k", ".jpx", ".avif", ".heic", ".heif", ".hif",
)  # fmt: skip
VIDEO_EXTENSIONS = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".wmv", ".asf", ".flv", ".f4v",
    ".3gp", ".3g2", ".ogv", ".vob", ".mts", ".divx", ".rm", ".rmvb", ".mxf", ".h264", ".264", ".h265", ".hevc", ".m2v",
    ".m1v", ".ivf", ".y4m", ".dv", ".gif",
)  # fmt: skip
# A GIF is a photo to a model of photos, as it always was; a model of clips opens it as a clip.
CLIP_EXTENSIONS = tuple(extension for extension in VIDEO_EXTENSIONS if extension not in IMAGE_EXTENSIONS)
SOUND_EXTENSIONS = (".mp3", ".m4a", ".wav", ".ogg", ".oga", ".opus", ".flac", ".aac")
# Brands of files in boxes (ISO 14496-12): those that hold pictures, and those that hold sound alone.
PHOTO_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ", b"aax ")
PHOTO_PREFIXES = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
    b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
)  # fmt: skip
CLIP_PREFIXES = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"0&\xb2u\x8ef\xcf\x11",  # ASF, WMV
    b"FLV\x01",
    b"\0\0\x01\xba",  # MPEG program stream
    b"\0\0\x01\xb3",  # MPEG-1 and MPEG-2 video
    b"\x06\x0e+4\x02\x05\x01\x01\r\x01\x02",  # MXF
    b".RMF",
    b"DKIF",
    b"YUV4MPEG2",
    b"OggS",
)
BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")  # with which QuickTime files without a brand begin
NUMBERED = re.compile(r"(?:COCO_[a-z]+\d+_)?(\d+)", re.ASCII)
HEAD = 4 * 192 + 1  # bytes that are looked at: a few packets of a transport stream


def content_kind(file: str | os.PathLike[str]) -> str | None:
    """ "photo" or "clip" by the first bytes of a file; None where it is neither, or cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # reading a pipe would take its content away
            return None
        with open(file, "rb") as opened:
            return kind_of_bytes(opened.read(HEAD))
    except (OSError, ValueError):
        return None


def kind_of_bytes(head: bytes) -> str | None:
    """ "photo" or "clip" by the first bytes (HEAD of them are enough), None for anything else."""
    if head.startswith(PHOTO_PREFIXES) or _is_bitmap(head) or _is_netpbm(head):
        return "photo"
    if head.startswith(CLIP_PREFIXES) or _is_elementary(head) or _is_transport(head):
        return "clip"
    if head.startswith(b"RIFF"):
        return {b"WEBP": "photo", b"AVI ": "clip"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return "photo" if brand in PHOTO_BRANDS else None if brand in SOUND_BRANDS else "clip"
    return "clip" if head[4:8] in BOXES else None


def _is_bitmap(head: bytes) -> bool:
    """BMP: its name is two letters, so the size of its second header is looked at, too."""
    return (
        head[:2] == b"BM"
        and len(head) >= 18
        and struct.unpack("<I", head[14:18])[0] in (12, 16, 40, 52, 56, 64, 108, 124)
    )


def _is_netpbm(head: bytes) -> bool:
    return head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in (b" ", b"\t", b"\n", b"\r")


def _is_elementary(head: bytes) -> bool:
    """H.264 or H.265 as a bare stream: a start code, then a parameter set or a delimiter."""
    code = 4 if head.startswith(b"\0\0\0\x01") else 3 if head.startswith(b"\0\0\x01") else 0
    if not code or len(head) < code + 2:
        return False
    unit = head[code]
    h264 = not unit & 0x80 and unit & 0x1F in (7, 9)
    h265 = not unit & 0x81 and unit >> 1 in (32, 33, 35) and head[code + 1] == 1
    return h264 or h265


def _is_transport(head: bytes) -> bool:
    """MPEG transport stream: 0x47 at the begin of each packet of 188 bytes, or of 192 behind a time stamp."""
    return any(
        len(head) > start + 3 * size and all(head[start + k * size] == 0x47 for k in range(4))
        for start, size in ((0, 188), (4, 192))
    )


def is_clip(file: str | os.PathLike[str]) -> bool:
    """Whether a file is a clip: by its content, and by its name where the content is neither or is not there."""
    found = content_kind(file)
    return found == "clip" if found else named_clip(file)


def is_sound(file: str | os.PathLike[str]) -> bool:
    """Whether a file is called like a recording, and does not begin as a photo does."""
    return os.fspath(file).lower().endswith(SOUND_EXTENSIONS) and content_kind(file) != "photo"


def named_clip(file: str | os.PathLike[str]) -> bool:
    """Whether a file is called like a clip, in upper or lower case."""
    return os.fspath(file).lower().endswith(CLIP_EXTENSIONS)


def is_moving(file: str | os.PathLike[str]) -> bool:
    """Whether a file is a clip where clips are asked for: also a GIF of more than one frame."""
    if is_clip(file):
        return True
    try:
        with open(file, "rb") as opened:
            if opened.read(4) != b"GIF8":
                return False
        from PIL import Image

        with Image.open(file) as picture:
            return getattr(picture, "is_animated", False)  # looks for a second frame, not for all
    except Exception:  # whoever opens it says what is wrong with it
        return False


def plain_id(key: int | str) -> str:
    """The spelling under which two ids count as the same: no picture's extension, numbers without zeros in front.

    391895, "391895", "000000391895.jpg" and "COCO_val2014_000000391895.jpg" are one picture.
    """
    text = str(key)
    stem, extension = os.path.splitext(text)
    if extension.lower() in IMAGE_EXTENSIONS:
        text = stem
    number = NUMBERED.fullmatch(text)
    return str(int(number[1])) if number and len(number[1]) < 100 else text


def kind_of(files: Iterable[str]) -> str:
    """What messages call these files, by their names: clips, photos, or photos and clips."""
    kinds = {named_clip(file) for file in files}
    return "photos and clips" if len(kinds) > 1 else "clips" if True in kinds else "photos"
