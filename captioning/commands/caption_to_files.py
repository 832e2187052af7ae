"""`captioning caption` for many photos: into files, going on where it stopped. Imports torch only for work to do."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from captioning.commands.caption import AttentionStrips, expand, sure_enough
from captioning.commands.caption_files import CaptionFile, Existing, Output, Sidecars, shown
from captioning.commands.several_devices import device_names, stream_on
from captioning.errors import UserError
from captioning.files.lock import locked
from captioning.files.terminal import complain
from captioning.runtime.progress import progress_bar

log = logging.getLogger("captioning")


def run(
    paths: Iterable[Path],
    *,
    model: str | None,
    options: dict[str, Any],
    recursive: bool,
    device: str | None,
    batch_size: int,
    output: Path | None = None,
    sidecar: str | None = None,
    existing: Existing = Existing(),
    attention: Path | None = None,
    min_confidence: float | None = None,
    allow: Sequence[str] = (),
    precision: str = "32",
) -> int:
    """Writes a sentence for every photo, beside it in a file with the ending `sidecar`, or into `output`.

    -> exit status: 1 where a photo failed, each named at the end.
    """
    files, unfound = expand(paths, recursive)
    outputs: list[Output] = [Sidecars(sidecar, overwrite=existing.overwrite)] if sidecar else []
    with ExitStack() as stack:
        if output is not None:
            stack.enter_context(locked(output, "Wait until that has ended, or choose another --output."))
            several = max(options.get("num_captions", 1), options.get("num_samples", 1))
            outputs.append(CaptionFile(output, captions=several, keep=existing.keep, overwrite=existing.overwrite))
        todo, failures = _todo(files, outputs, existing)
        skipped, began = len(set(files)) - len(todo) - len(failures), time.monotonic()
        done, well = 0, False
        try:
            streamed = _captions(todo, model, device, batch_size, options, attention, existing, allow, precision)
            for file, found in streamed:
                try:
                    if isinstance(found, UserError):
                        raise found
                    found = sure_enough(found, min_confidence)
                    for place in outputs:
                        if existing.overwrite or file not in place:
                            place.write(file, found)
                    done += 1
                except UserError as error:
                    failures.append(str(error).replace(str(file), shown(file)))
            well = True
        finally:
            for place in outputs:
                try:
                    place.finish(well=well)
                except UserError as error:
                    failures.append(str(error))
            for failure in failures:
                complain(failure)
            seconds = time.monotonic() - began
            speed = f" in {seconds:.0f} s ({done / seconds:.1f}/s)" if done else ""
            log.info(f"{done:,} captioned{speed}, {skipped:,} had captions, {len(failures) + unfound:,} failed")
    return 1 if failures or unfound else 0


def _todo(files: Iterable[Path], outputs: Sequence[Output], existing: Existing) -> tuple[list[Path], list[str]]:
    """The photos to caption, and what is wrong with others."""
    todo, failures = [], []
    for file in dict.fromkeys(files):  # a photo named twice is captioned once
        held = [place for place in outputs if file in place]
        if len(held) == len(outputs) and existing.keep:
            continue
        if held and not existing.keep and not existing.overwrite:
            failures.append(f"{file} has a caption beside it: --skip-existing leaves it, --overwrite replaces it")
            continue
        todo.append(file)
    return todo, failures


def _captions(
    todo: list[Path],
    model,
    device,
    batch_size: int,
    options: dict[str, Any],
    attention: Path | None,
    existing: Existing,
    allow: Sequence[str],
    precision: str,
):
    """(photo, its captions or the error), with a bar where a person looks on."""
    strips = AttentionStrips(attention, existing) if attention else None
    if not todo:
        return
    from captioning.runtime.allocator import keep_freed_memory

    keep_freed_memory()
    how = {"batch_size": batch_size, "details": strips is not None, "options": options, "precision": precision}
    found = stream_on(device_names(device), model, todo, allow=allow, **how)
    with progress_bar("captioning", enabled=sys.stderr.isatty()) as report:
        for number, (file, captions) in enumerate(found, 1):
            if strips and not isinstance(captions, UserError):
                try:
                    strips.write(file, captions[0])
                except UserError as error:
                    captions = error
            yield file, captions
            report(number, len(todo))
