"""`captioning caption`: sentences for photos, clips and folders of them, on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioning.commands.caption_files import Existing, json_line, printable, shown
from captioning.commands.several_devices import device_names, stream_on
from captioning.errors import UserError
from captioning.files.atomic import unused_name
from captioning.files.terminal import complain, harmless
from captioning.media.finding import find_images
from captioning.media.kinds import is_clip

if TYPE_CHECKING:
    from captioning.tasks.captioning.caption import Caption

SEEN = 512  # pixels of a side that the panels of an attention strip need at most


def run(
    paths: Iterable[Path],
    *,
    model: str | None,
    options: dict[str, Any],
    as_json: bool,
    attention: Path | None,
    recursive: bool,
    device: str | None,
    batch_size: int = 16,
    existing: Existing = Existing(),
    min_confidence: float | None = None,
    allow: Sequence[str] = (),
    precision: str = "32",
) -> int:
    """One line a photo. -> exit status: 1 where a photo could not be read, each named on stderr, the others done."""
    strips = AttentionStrips(attention, existing) if attention else None
    files, failures = expand(paths, recursive)
    how = {"batch_size": batch_size, "details": strips is not None, "options": options, "precision": precision}
    streamed = stream_on(device_names(device), model, files, allow=allow, **how)
    for file, found in streamed:
        try:
            if isinstance(found, UserError):
                raise found
            found = sure_enough(found, min_confidence)
            for caption in found:
                print(line(file, caption, as_json, alone=len(files) == 1 and len(found) == 1), flush=True)
            if strips:
                strips.write(file, found[0])
        except UserError as error:
            failures += 1
            complain(str(error).replace(str(file), shown(file)))
    return 1 if failures else 0


def sure_enough(captions: list[Caption], least: float | None) -> list[Caption]:
    """The captions, those that are less sure than `least` replaced by what is seen at least."""
    if least is None:
        return captions
    from captioning.tasks.captioning.confidence import hedged

    return [hedged(caption, least) for caption in captions]


def expand(paths: Iterable[Path], recursive: bool) -> tuple[list[Path], int]:
    """The photos and clips that `paths` mean, folders expanded, and how many paths mean none, each named on stderr."""
    files, failures = [], 0
    for path in paths:
        try:
            files += find_images([path], recursive=recursive, clips=True)
        except UserError as error:
            failures += 1
            complain(error)
    return files, failures


def line(file: Path, caption: Caption, as_json: bool, *, alone: bool) -> str:
    """What is printed for a caption: JSON, or the text, with the file in front where there are several.

    Always one line that can be encoded: a file may have a name of any bytes but 0.
    """
    if as_json:
        return json_line(file, caption)
    text = harmless(caption.text, keep="\t")  # a tab is behind the times of a part of a clip
    return text if alone else f"{printable(shown(file))}\t{text}"


class AttentionStrips:
    """A folder with a picture for each photo: where the model looked, word by word.

    `dog.jpg` has its strip in `dog.png`; further photos of that name, from other folders, in `dog-2.png`, ...
    A strip that is there already is treated as `existing` says.
    """

    def __init__(self, folder: Path, existing: Existing = Existing()):
        """Makes the folder. Raises UserError where that cannot be."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--attention {folder}: {error.strerror}. Choose a folder that can be written") from None
        self.folder, self.existing, self.taken, self.warned = folder, existing, set(), False

    def write(self, file: Path, caption: Caption) -> None:
        """Draws the strip of one caption. Raises UserError where it cannot be written.

        A decoder that does not look at parts of a photo has none, which is said once.
        """
        from captioning.media.pictures import as_picture
        from captioning.reports.attention_map import attention_strip

        if is_clip(file):
            raise UserError(f"{file} is a clip: --attention draws what was looked at in photos only")
        if caption.attention is None:
            if not self.warned:
                complain("--attention: this model does not look at parts of a photo, there is nothing to draw")
            self.warned = True
            return
        path = self.folder / f"{unused_name(file.stem, self.taken)}.png"
        if not self.existing.may_write(path):
            return
        try:
            picture, panel = as_picture(file, SEEN), 192 if caption.boxes is None else 256  # room for labels
            strip = attention_strip(
                picture, caption.words, caption.attention, caption.boxes, caption.labels, panel=panel
            )
            strip.save(path)
        except (OSError, ValueError) as error:  # no space; or tokens that are neither regions nor a square of cells
            raise UserError(f"{file}: its attention cannot be drawn into {path} ({error})") from None
