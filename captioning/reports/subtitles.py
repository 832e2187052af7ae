"""Sentences with times as subtitles: SubRip (.srt) and WebVTT (W3C, 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from captioning.files.terminal import harmless

KINDS = ("srt", "vtt")


@dataclass(frozen=True)
class Cue:
    """A sentence that is shown from `begin` to `end`, seconds from the start of the clip."""

    begin: float
    end: float
    text: str


def subtitles(cues: Iterable[Cue], kind: str) -> Iterator[str]:
    """The parts of a subtitle file, one after the other: what joins them is the file. `kind` is srt or vtt.

    A cue without text, which players read as a broken one, is left out; one of no length is shown for a millisecond.
    """
    if kind == "vtt":
        yield "WEBVTT\n\n"
    number = 0
    for cue in cues:
        text = harmless(" ".join(cue.text.split()))  # a line break could begin the next cue
        if not text:
            continue
        number += 1
        begin = max(round(1000 * cue.begin), 0)
        end = max(round(1000 * cue.end), begin + 1)
        if kind == "vtt":
            yield f"{clock(begin, '.')} --> {clock(end, '.')}\n{_escaped(text)}\n\n"
        else:
            yield f"{number}\n{clock(begin, ',')} --> {clock(end, ',')}\n{text.replace('-->', '→')}\n\n"


def clock(milliseconds: int, point: str = ".") -> str:
    """00:01:02.345 for 62,345; the hours have two digits or more."""
    seconds, thousandths = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{thousandths:03}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
