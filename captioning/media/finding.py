"""The photos and clips that paths mean: of a folder all that are in it, whatever they are called, and what is not."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from captioning.errors import UserError
from captioning.media.kinds import (
    CLIP_EXTENSIONS,
    IMAGE_EXTENSIONS,
    SOUND_EXTENSIONS,
    VIDEO_EXTENSIONS,
    content_kind,
    is_sound,
)

log = logging.getLogger("captioning")

HEIC = (".heic", ".heif", ".hif")
# Some of these begin like a TIFF or like a film, and hold what no program here makes a picture of.
UNREADABLE = {
    ".jxl": "JPEG XL", ".svg": "SVG", ".svgz": "SVG", ".psd": "PSD", ".xcf": "XCF", ".eps": "EPS", ".pdf": "PDF",
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw"), "RAW"),
    **dict.fromkeys(SOUND_EXTENSIONS, "sound"),
}  # fmt: skip
BESIDE = (".txt", ".caption", ".srt", ".vtt", ".json", ".xmp")  # what programs write beside a photo, under its name
NEED_HEIC = "HEIC (pip install 'captioning[heic]' reads them)"
OTHER = "neither photo nor clip"


def find_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    recursive: bool = False,
    *,
    clips: bool = False,
    sounds: bool = False,
) -> list[Path]:
    """The files named, with each folder replaced by the pictures in it, sorted by name (deeper folders last).

    A file is kept whatever it is called and whether or not it exists, so that opening it can say what is wrong. In
    a folder a picture is known by its ending or its first bytes, with `clips` a clip as well, with `sounds` a
    recording; names that begin with a dot are left out. `recursive` also searches the folders within, those that are
    links among them, each once. What a folder holds besides is counted in one warning.

    Raises:
        UserError: a folder holds no picture, or cannot be read.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    found: list[Path] = []
    for path in paths:
        path = path if isinstance(path, Path) else Path(path)
        found.extend(_in_folder(path, recursive, clips, sounds) if os.path.isdir(path) else [path])
    return found


def _in_folder(folder: Path, recursive: bool, clips: bool, sounds: bool) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise UserError(f"{folder} cannot be read ({error.strerror}). Check its permissions.") from error

    found: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    deeper, seen = False, {os.path.realpath(folder)}
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if not recursive:
            deeper = bool(folders)
            folders.clear()
        for name in list(folders):  # a link may lead to where the search has been, or is
            target = os.path.realpath(os.path.join(place, name))
            if target in seen:
                folders.remove(name)
            seen.add(target)
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(place, name)
            why = None if sounds and is_sound(path) else _left_out(path, clips)
            if why is None:
                found.append(path)
            else:
                left_out.append((path, why))
    stems = {path.with_suffix("") for path in found} | set(found)
    left_out = [
        (path, why) for path, why in left_out if not (path.suffix.lower() in BESIDE and path.with_suffix("") in stems)
    ]
    counted = _counted(left_out, folder)
    if not found:
        within = " The folders within it were not searched (-r does)." if deeper else ""
        besides = f" It holds {counted}." if counted else ""
        what = "photo or clip" if clips else "picture or sound" if sounds else "picture"
        raise UserError(f"{folder} holds no {what} that can be read.{besides}{within} Name another folder, or files.")
    if counted:
        log.warning(f"{folder}: left out {counted}")
    return found


def _left_out(path: Path, clips: bool) -> str | None:
    """Why a file of a folder is not among its pictures; None where it is."""
    extension = path.suffix.lower()
    if extension in UNREADABLE:
        return UNREADABLE[extension]
    if extension in HEIC and find_spec("pillow_heif") is None:
        return NEED_HEIC
    named = "photo" if extension in IMAGE_EXTENSIONS else "clip" if extension in CLIP_EXTENSIONS else None
    kind = named or content_kind(path)
    if kind == "clip" and not clips:
        return None if named and content_kind(path) == "photo" else "clips"
    return None if kind else OTHER


def _counted(left_out: list[tuple[Path, str]], folder: Path) -> str:
    """ "3 files (2 RAW, 1 SVG), the first is a.nef"; "" for none."""
    if not left_out:
        return ""
    kinds = ", ".join(f"{count:,} {why}" for why, count in Counter(why for _, why in left_out).items())
    files = "1 file" if len(left_out) == 1 else f"{len(left_out):,} files"
    return f"{files} ({kinds}), the first is {str(left_out[0][0].relative_to(folder))!r}"


def names_a_photo(word: str) -> bool:
    """Whether what was typed is no sentence: a photo or a folder of that name is there, or it ends as photos do."""
    try:
        return Path(word).exists() or word.lower().endswith((*IMAGE_EXTENSIONS, *VIDEO_EXTENSIONS))
    except (OSError, ValueError):  # longer than any file's name, or with a zero in it
        return False
