"""`captioning caption` where times matter: sentences for parts of clips, subtitles, and a page with the frames."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from captioning.commands.caption import expand, line
from captioning.commands.caption_files import Existing
from captioning.commands.caption_files import shown as name_of
from captioning.errors import UserError
from captioning.files.atomic import unused_name, write_whole
from captioning.files.terminal import complain
from captioning.media.clip import Clip, FrameSampling
from captioning.media.confined import READERS
from captioning.media.excerpt import Excerpt
from captioning.media.kinds import is_moving, named_clip
from captioning.media.pictures import as_picture
from captioning.reports.clip_page import FRAMES, ClipPage
from captioning.reports.frame_strip import SIDE
from captioning.reports.subtitles import KINDS, Cue, clock, subtitles
from captioning.tasks.captioning.caption import Caption
from captioning.tasks.captioning.captioner import Captioner
from captioning.tasks.load import load_captioner

FORMATS = ("text", "json", *KINDS)
LEAST = 0.2  # of `every`: a shorter rest at the end of a clip belongs to the part before it


@dataclass(frozen=True)
class Part(Clip):
    """A clip from `begin` to `end`, in seconds, as a clip of its own."""

    file: Path = Path()
    number: int = 0  # of the file
    begin: float = 0.0
    end: float = 0.0


@dataclass(frozen=True)
class Whole:
    """A photo, or a clip that cannot be opened, in the place of a part; a path to whoever reads it."""

    file: Path
    number: int
    begin: float = 0.0
    end: float = 0.0

    def __fspath__(self) -> str:
        return str(self.file)


@dataclass
class CaptionedFile:
    """What is known of one file: the sentences so far, or what is wrong with it."""

    file: Path
    captions: list[tuple[Cue, list[Caption]]] = field(default_factory=list)
    error: UserError | None = None


def run(
    paths: Iterable[Path],
    *,
    model: str | None,
    options: dict[str, Any],
    kind: str,
    every: float | None,
    into: Path | None,
    page: Path | None,
    recursive: bool,
    device: str | None,
    existing: Existing = Existing(),
    allow: Sequence[str] = (),
    precision: str = "32",
) -> int:
    """Sentences for each clip and photo, in one of FORMATS. -> exit status: 1 where a file could not be done.

    `every` asks for a sentence for each so many seconds of a clip; `into` is a folder for a subtitle file of each
    clip, which a single clip's go without, to standard output; `page` is an HTML file with the frames. What
    is there already is treated as `existing` says.
    """
    if kind not in FORMATS:
        raise UserError(f"--format {kind}: choose one of {', '.join(FORMATS)}")
    if every is not None and not 0 < every < math.inf:
        raise UserError(f"--every {every:g}: give a number of seconds above 0")
    if into is not None and kind not in KINDS:
        raise UserError(f"--into {into}: takes subtitles, so --format srt or --format vtt")
    if page is not None and not existing.may_write(page):
        raise UserError(f"--page {page} is there, and holds all files at once: --overwrite replaces it")
    files, failures = expand(paths, recursive)
    if kind in KINDS and into is None and len(files) > 1:
        raise UserError(f"{len(files)} files make {len(files)} subtitle files: --into FOLDER takes them")
    if kind in KINDS:
        tell = Subtitles(kind, into, existing)
        files, refused = tell.chosen(files)
        failures += refused
        if not files:
            return 1 if failures else 0
    else:
        tell = Lines(kind, timed=every is not None, alone=len(files) == 1)
    if any(map(named_clip, files)):
        READERS.prepare()  # while the model is loaded
    captioner = load_captioner(model, device=device, allow=allow, precision=precision)
    shown = ClipPage(f"What a model says of {len(files)} file{'s' if len(files) != 1 else ''}") if page else None
    for captioned in each_file(captioner, files, every, options):
        try:
            tell(captioned)
            if shown:
                frames, times = looks(captioned.file)
                shown.add(name_of(captioned.file), frames, times, [cue for cue, _ in captioned.captions])
        except UserError as error:
            failures += 1
            complain(str(error).replace(str(captioned.file), name_of(captioned.file)))
    if shown:
        shown.write(page)
    return 1 if failures else 0


def each_file(
    captioner: Captioner, files: Iterable[Path], every: float | None, options: dict[str, Any]
) -> Iterator[CaptionedFile]:
    """What the model says of each file, one after the other, in order. A broken file does not stop the others."""
    broken: set[int] = set()
    stream = captioner.stream(parts(files, every, broken), **options)
    for number, pieces in groupby(stream, lambda pair: pair[0].number):
        captioned = None
        for part, found in pieces:
            captioned = captioned or CaptionedFile(part.file)
            if isinstance(found, UserError):
                captioned.error = captioned.error or found
                broken.add(number)
            else:
                captioned.captions.append((Cue(part.begin, part.end, found[0].text), found))
        yield captioned


def parts(files: Iterable[Path], every: float | None, broken: set[int]) -> Iterator[Part | Whole]:
    """The parts of each clip in order; of a photo, and of what cannot be opened, the file itself.

    No further part is given of a file whose number the caller puts among the `broken`: its length may be a lie.
    """
    for number, file in enumerate(files):
        whole = Whole(file, number)
        if not is_moving(file):
            yield whole
            continue
        clip = Clip.open(file, confined=True)
        try:
            duration = clip.duration
        except UserError:  # reading the file itself says the same
            yield whole
            continue
        for begin, end in cuts(duration, every):
            if number in broken:
                break
            # The last part has all that follows, should more of the clip turn out to be readable.
            media = Excerpt(clip.media, begin, None if end == duration else end)
            yield Part(media, clip.name, file=file, number=number, begin=begin, end=end)


def cuts(duration: float, every: float | None) -> Iterator[tuple[float, float]]:
    """(begin, end) of each part in seconds: `every` long, the last one shorter or up to a fifth longer."""
    begin, number = 0.0, 1
    while every is not None and duration - every * number > LEAST * every:
        yield begin, every * number
        begin, number = every * number, number + 1
    yield begin, duration


def looks(file: Path) -> tuple[Any, Any]:
    """Frames of a clip with their times; of a photo the photo, without any."""
    if is_moving(file):
        return Clip.open(file, confined=True).sample(FrameSampling(frames=FRAMES), size=SIDE)
    return [as_picture(file, SIDE)], ()


class Lines:
    """Prints a line for each sentence: text, or one JSON object. `timed` puts the times of clips in front."""

    def __init__(self, kind: str, *, timed: bool, alone: bool):
        self.as_json, self.timed, self.alone = kind == "json", timed, alone

    def __call__(self, captioned: CaptionedFile) -> None:
        if captioned.error:
            raise captioned.error
        timed = self.timed and is_moving(captioned.file)
        for cue, found in captioned.captions:
            alone = self.alone and (timed or len(found) == 1)
            for caption in found:
                if timed and not self.as_json:
                    when = f"{clock(round(1000 * cue.begin))}-{clock(round(1000 * cue.end))}"
                    caption = replace(caption, text=f"{when}\t{caption.text}")
                text = line(captioned.file, caption, self.as_json, alone=alone)
                if timed and self.as_json:
                    content = json.loads(text) | {"begin": round(cue.begin, 3), "end": round(cue.end, 3)}
                    text = json.dumps(content, ensure_ascii=text.isascii())
                print(text, flush=True)


class Subtitles:
    """Writes a subtitle file for each clip, to standard output where there is no folder for them.

    `clip.mp4` has its subtitles in `clip.srt`; further clips of that name, from other folders, in `clip-2.srt`, ...
    """

    def __init__(self, kind: str, folder: Path | None, existing: Existing = Existing()):
        self.kind, self.folder, self.existing = kind, folder, existing
        self.places: deque[Path | None] = deque()  # of the files chosen, in their order; None for a photo

    def chosen(self, files: Iterable[Path]) -> tuple[list[Path], int]:
        """The files to be done, and how many are refused because their subtitles are there, each named on stderr."""
        chosen, taken, kept, refused = [], set(), [], 0
        for file in files:
            place = None
            if self.folder is not None and is_moving(file):
                place = self.folder / f"{unused_name(file.stem, taken)}.{self.kind}"
                try:
                    if not self.existing.may_write(place):
                        kept.append(place)
                        continue
                except UserError as error:
                    complain(f"{file}: {error}")
                    refused += 1
                    continue
            self.places.append(place)
            chosen.append(file)
        if kept:
            complain(f"{len(kept):,} left as they are, the first is {kept[0]}")
        return chosen, refused

    def __call__(self, captioned: CaptionedFile) -> None:
        place = self.places.popleft()
        if captioned.error:
            raise captioned.error
        if not is_moving(captioned.file):
            raise UserError(f"{captioned.file} is a photo, which has no times: --format text or json")
        text = "".join(subtitles((cue for cue, _ in captioned.captions), self.kind))
        if place is None:
            print(text, end="", flush=True)
        else:
            write_whole(place, text)
